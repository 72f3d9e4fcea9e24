"""How fast this machine trains, to scale stored minutes from another machine."""

import time

__all__ = ["matmul_gflops", "training_speed"]

BATCH, LENGTH, WIDTH = 16, 64, 128


def training_speed(seconds: float = 5.0) -> float:
    """Measure the training speed of this CPU, in steps per second.

    A small transformer is trained, as in the notebooks: matrix products, and many small operations
    between them. It ends within one step after `seconds`.
    """
    import torch  # here: `course doctor` tells where it is missing

    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(BATCH, LENGTH, WIDTH, generator=generator)
    layer = torch.nn.TransformerEncoderLayer(WIDTH, nhead=4, dim_feedforward=512, batch_first=True)
    model = torch.nn.TransformerEncoder(layer, num_layers=2, enable_nested_tensor=False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def step() -> None:
        optimizer.zero_grad()
        model(inputs).square().mean().backward()
        optimizer.step()

    end = time.perf_counter() + seconds
    step()  # the first step allocates and picks kernels
    start, count = time.perf_counter(), 0
    while count == 0 or time.perf_counter() < end:
        step()
        count += 1
    return count / (time.perf_counter() - start)


def matmul_gflops(size: int = 1024, seconds: float = 0.5, device: str = "cpu") -> float:
    """Measure the GFLOP/s of a product of square float32 matrices: `2 * size**3` operations.

    The measurement ends within one product after `seconds`.
    """
    import torch

    left, right = torch.ones(2, size, size, device=device)
    product = torch.empty(size, size, device=device)

    def multiply() -> None:
        torch.mm(left, right, out=product)
        if device == "cuda":
            torch.cuda.synchronize()

    multiply()  # the first product starts the threads
    start, count = time.perf_counter(), 0
    while count == 0 or time.perf_counter() - start < seconds:
        multiply()
        count += 1
    return count * 2 * size**3 / (time.perf_counter() - start) / 1e9
