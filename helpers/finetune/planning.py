"""What a run would cost, before it starts: arithmetic to be done over the speed of this machine."""

import math
from dataclasses import dataclass

from helpers.finetune.settings import LANGUAGE_TASKS, num_epochs_for, settings_for
from helpers.finetune.splitting import Parts
from helpers.runtime import Profile

__all__ = ["Estimate", "estimate", "memory_table"]

NF4 = 0.5 + 1 / 64 + 4 / (64 * 256)  # bytes a weight: 4 bits, and their scales

# Of the speed of a large matrix product, what training and reading reach with short texts.
USED = {"encoder": 0.2, "lora": 0.5}  # the encoder's matrices are small
PROGRAM = 700e6  # bytes of Python with torch and transformers loaded
LINEAR_CHARACTERS = 12_000  # a second, over all fits of the cross-validation
SAMPLE = 500
SIZES = (0.022, 0.135, 0.4, 1.7, 7, 13, 65)  # billions of parameters: MiniLM, SmolLM2, ...


@dataclass(frozen=True)
class Estimate:
    """What a run is expected to take.

    Attributes:
        method: of the run.
        minutes: of training, validation and test.
        memory_bytes: at the peak, the program included.
        how: what the estimate rests on.
    """

    method: str
    minutes: float
    memory_bytes: float
    how: str

    def report(self) -> str:
        """The estimate in words."""
        return (
            f"{self.method}: about {max(0.1, self.minutes):.1f} minutes and "
            f"{self.memory_bytes / 1e9:.1f} GB ({self.how}). Nothing was trained."
        )


def estimate(
    parts: Parts, method: str, profile: Profile, base: str | None = None,
    overrides: dict | None = None,
) -> Estimate:  # fmt: skip
    """Estimate minutes and memory of `train` and `test_once`, in some seconds and without training.

    Args:
        parts: what `split` gave.
        method, profile, base: as for `train`.
        overrides: settings that differ from the defaults.
    """
    data = parts.train
    letters = sum(len(data.text_of(i)) for i in range(len(data)))
    if method == "linear":
        how = f"{letters:,} characters, at a rate measured on two cores"
        return Estimate(method, letters / LINEAR_CHARACTERS / 60, PROGRAM + 150 * letters, how)
    settings = settings_for(data.task, method, data, profile, overrides)
    tokenizer, body, total, width, layers, words = _base(data.task, method, profile, base)
    tokens = _tokens(tokenizer, data, settings["max_length"])
    held = tokens / len(data) * (len(parts.validation) + parts.test_size)
    adapter = method == "lora"
    # Two operations a weight forward, two for the gradient of inputs, two for that of weights.
    head = width * words if data.task in LANGUAGE_TASKS else 0
    rows = math.ceil(tokens / settings["max_length"]) if data.task == "text" else len(data)
    flops = (4 if adapter else 6) * (body + head) * tokens * num_epochs_for(rows, settings)
    flops += 2 * (body + head) * held * (2 if data.task in LANGUAGE_TASKS else 1)
    peak = _gflops(profile)
    speed = peak * 1e9 * USED[method]
    positions = settings["batch_size"] * settings["max_length"]
    memory = PROGRAM + total * 4 + (0 if adapter else body * 12)
    memory += positions * (layers * width * 80 + (words * 12 if head else 0))
    how = f"{tokens:,.0f} tokens an epoch, {peak:.0f} GFLOP/s measured in a product"
    return Estimate(method, flops / speed / 60, memory, how)


def memory_table() -> str:
    """What training needs by the size of the base, as in notebook 7, in Markdown: GB.

    Weights, gradients and AdamW; activations come on top. Adapters have 0.7 % of the base's
    parameters, as that of SmolLM2-135M at rank 8.
    """
    ways = {"all weights": (0, 16, 1), "`--method lora`": (4, 16, 0.007)}
    ways |= {"LoRA on 16 bits": (2, 16, 0.007), "QLoRA (NF4)": (NF4, 16, 0.007)}
    lines = [f"| parameters of the base | {' | '.join(ways)} |", "|---:" * (len(ways) + 1) + "|"]
    for billions in SIZES:
        cells = [
            f"{billions * (frozen + share * trained):,.1f}"
            for frozen, trained, share in ways.values()
        ]
        lines.append(f"| {billions:g} billion | {' | '.join(cells)} |")
    return "\n".join(lines)


def _base(task: str, method: str, profile: Profile, base: str | None):
    """Tokenizer and sizes of the base: parameters of the blocks, all, width, blocks, words."""
    from helpers import pretrained
    from helpers.pretrained.parts import blocks

    if method == "lora":
        loaded = pretrained.load_decoder(profile=profile, source=base, pretrained=False, echo=None)
    else:
        loaded = pretrained.load_encoder(
            "features", profile=profile, source=base, pretrained=False, echo=None
        )
    model, config = loaded.model, loaded.model.config
    names = tuple(f"{name}." for name in blocks(model))
    body = sum(p.numel() for name, p in model.named_parameters() if name.startswith(names))
    total = sum(p.numel() for p in model.parameters())
    return (
        loaded.tokenizer, body, total, config.hidden_size, config.num_hidden_layers,
        config.vocab_size,
    )  # fmt: skip


def _tokens(tokenizer, data, max_length: int) -> float:
    """Tokens of train, cut as in training, from a sample."""
    texts = [data.text_of(i) for i in range(0, len(data), max(1, len(data) // SAMPLE))]
    lengths = [len(ids) for ids in tokenizer(texts, verbose=False)["input_ids"]]
    cut = lengths if data.task == "text" else [min(n, max_length) for n in lengths]
    return sum(cut) / len(texts) * len(data)


def _gflops(profile: Profile) -> float:
    import torch

    from helpers.speed import matmul_gflops

    if profile.name == "gpu" and torch.cuda.is_available():
        return matmul_gflops(4096, device="cuda")
    return matmul_gflops()
