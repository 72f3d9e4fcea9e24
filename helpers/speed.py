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


def matmul_gflops(
    size: int | tuple[int, int, int] = 1024, seconds: float = 0.5, device: str = "cpu"
) -> float:
    """Measure the GFLOP/s of a float32 matrix product, counting `2 * M * K * N` operations.

    `size` is that of square matrices, or (M, K, N) for a product of (M, K) and (K, N). The
    measurement ends within one product after `seconds`.
    """
    import torch

    rows, inner, columns = (size,) * 3 if isinstance(size, int) else size
    left = torch.ones(rows, inner, device=device)
    right = torch.ones(inner, columns, device=device)
    product = torch.empty(rows, columns, device=device)

    def multiply() -> None:
        torch.mm(left, right, out=product)
        if device == "cuda":
            torch.cuda.synchronize()

    multiply()  # the first product starts the threads
    start, count = time.perf_counter(), 0
    while count == 0 or time.perf_counter() - start < seconds:
        multiply()
        count += 1
    return count * 2 * rows * inner * columns / (time.perf_counter() - start) / 1e9
