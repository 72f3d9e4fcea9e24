"""What the notebooks need of a T4's memory, computed from the shapes of the models they train.

A T4 has 15 GB for programs and compute capability 7.5: it computes in float32 and float16, and only
imitates bfloat16. `fit(precision="float16")` keeps weights in float32, computes matrix products in
float16 (autocast), and scales the loss so that small gradients do not become zero.

Memory of a training step, in bytes, for P weights of which t are trained, N = batch x length
tokens, L blocks that a gradient passes through, width h, inner width f, a heads, and v bytes a
number (4, or 2 under autocast):

    weights      4 P  (2 P in float16; in NF4 0.516 for each weight of the blocks' matrices)
    copies       2 t  under autocast: float16 copies of what trains are kept until the step ends
    gradients    4 t
    AdamW        8 t  (a mean and a mean of squares)
    activations  N L (v (6 h + k f) + 8 h + 2 h + (2 v + 1) a length)
    loss         12 N V  for a language model's scores over V words (scores, softmax, gradient)
    the rest     1 GB: CUDA's context, its libraries, what the allocator cannot reuse

The activations are those of Korthikanti et al. (2022), who count 34 h + 5 a length for a token of a
block, at two bytes a number and f = 4 h: what the backward pass needs of attention (5 h and its
maps), of the inner matrices (h + k f; k = 2, or 4 where one product gates another), of the two
norms (2 h, here always in float32) and of dropout (a byte for each of its numbers). It is an upper
estimate: a fused attention keeps no maps, a model without dropout no masks, and a frozen matrix not
what it was multiplied with. Asking a model keeps no activations: only keys and values, 2 L N h v,
and one block's numbers.

`python -m helpers.commands.t4` prints the tables.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from helpers.runtime import ROOT

__all__ = ["BODIES", "JOBS", "LARGEST", "T4_BYTES", "Body", "Job", "needed", "tables"]

T4_BYTES = 15e9
REST = 1e9  # bytes
NF4 = 0.5 + 1 / 64 + 4 / (64 * 256)  # bytes a weight: 4 bits, a byte for 64 of them, 4 for 16,384


@dataclass(frozen=True)
class Body:
    """The shape of a transformer; `positions` counts rows of vectors beside those of words."""

    name: str
    blocks: int
    hidden: int
    inner: int
    heads: int
    vocabulary: int
    positions: int
    norms: int  # outside the blocks
    gated: bool = False

    @property
    def matrices(self) -> int:
        """Weights in the matrices of one block."""
        return 4 * self.hidden**2 + (3 if self.gated else 2) * self.hidden * self.inner

    @property
    def block(self) -> int:
        """All weights of one block; gated ones have no offsets, and norms of one number a place."""
        if self.gated:
            return self.matrices + 2 * self.hidden
        return self.matrices + 4 * self.hidden + self.inner + self.hidden + 4 * self.hidden

    @property
    def embeddings(self) -> int:
        """All weights outside the blocks; the head of a language model is the words' vectors."""
        norm = self.hidden if self.gated else 2 * self.hidden
        return (self.vocabulary + self.positions) * self.hidden + self.norms * norm

    @property
    def parameters(self) -> int:
        """All weights."""
        return self.embeddings + self.blocks * self.block

    def weights(self, storage: str) -> float:
        """Bytes of the weights, kept as `float32`, `float16` or `nf4` (the rest in float32)."""
        if storage == "nf4":
            packed = self.blocks * self.matrices
            return NF4 * packed + 4 * (self.parameters - packed)
        return {"float32": 4, "float16": 2}[storage] * self.parameters


BERT = Body("BERT-base", 12, 768, 3072, 12, 30_522, 512 + 2, 1)
CASED = Body("BERT-base, cased", 12, 768, 3072, 12, 28_996, 512 + 2, 1)
GPT2 = Body("GPT-2", 12, 768, 3072, 12, 50_257, 1_024, 1)
LARGER = Body("SmolLM2-1.7B-Instruct", 24, 2048, 8192, 32, 49_152, 0, 1, gated=True)
BODIES = (BERT, CASED, GPT2, LARGER)


@dataclass(frozen=True)
class Job:
    """What a notebook does with one model.

    Attributes:
        notebook: the name of its file, from `notebooks/`, without ending.
        what: in words.
        body: the model.
        trained: blocks, from the top; `"all"` for every weight; `"adapter"` for LoRA on the four
            matrices of attention; 0 to ask only.
        batch, length: rows at once, and tokens a row.
        storage: how the weights are kept.
        rank: of the adapter.
        language_model: whether the loss is over the vocabulary, at every token.
        beside: models that stay in memory meanwhile, in float32.
    """

    notebook: str
    what: str
    body: Body
    trained: int | str
    batch: int
    length: int
    storage: str = "float32"
    rank: int = 8
    language_model: bool = False
    beside: tuple[Body, ...] = ()

    @property
    def trainable(self) -> int:
        """Weights that are trained; a head of two labels is left out."""
        if self.trained == "all":
            return self.body.parameters
        if self.trained == "adapter":
            return self.body.blocks * 4 * 2 * self.rank * self.body.hidden
        return self.trained * self.body.block


def needed(job: Job, precision: str = "float32") -> float:
    """Bytes at the peak of a training step (or of an answer), by the formula of this module.

    Args:
        job: what is done.
        precision: `"float32"`, or `"float16"` for autocast.
    """
    body, trained, tokens = job.body, job.trainable, job.batch * job.length
    number = {"float32": 4, "float16": 2}[precision]
    kept = body.weights(job.storage) + sum(4 * other.parameters for other in job.beside) + REST
    inner = (4 if body.gated else 2) * body.inner
    if not trained:
        return kept + tokens * number * (2 * body.blocks * body.hidden + 6 * body.hidden + inner)
    copies = 2 * trained if precision == "float16" else 0
    depth = job.trained if isinstance(job.trained, int) else body.blocks
    maps = (2 * number + 1) * body.heads * job.length
    states = number * (6 * body.hidden + inner) + 10 * body.hidden + maps
    loss = 12 * tokens * body.vocabulary if job.language_model else 0
    return kept + copies + 12 * trained + tokens * depth * states + loss


JOBS = (
    Job("04_bert", "all blocks", BERT, 12, 32, 128),
    Job("04_bert", "random twin, every weight", BERT, "all", 32, 128),
    Job("bonus/inside_bert", "all blocks", BERT, 12, 16, 128),
    Job("05_named_entities", "all blocks, a tag a word", CASED, 12, 16, 128),
    Job("06_gpt", "asked, GPT-2 in memory", LARGER, 0, 16, 256, beside=(GPT2,)),
    Job("06_gpt", "top four blocks, the larger in memory", GPT2, 4, 32, 128, beside=(GPT2, LARGER)),
    Job("07_lora", "all blocks, one other model in memory", GPT2, 12, 8, 128, beside=(GPT2,)),
    Job("07_lora", "LoRA, two other models in memory", GPT2, "adapter", 8, 128, beside=(GPT2,) * 2),
    Job(
        "07_lora",
        "QLoRA, four GPT-2 in memory",
        LARGER,
        "adapter",
        8,
        128,
        "nf4",
        beside=(GPT2,) * 4,
    ),
    Job("08_domain_llm", "LoRA on text", LARGER, "adapter", 2, 257, language_model=True),
    Job("08_domain_llm", "LoRA on preferences", LARGER, "adapter", 4, 142, language_model=True),
    Job(
        "bonus/lora_choices", "top eight blocks, another in memory", GPT2, 8, 8, 128, beside=(GPT2,)
    ),
)
"""What the notebooks do in `gpu` with a model of the Hub; the largest of each kind."""

LARGEST = (
    Job("", "every weight", LARGER, "all", 8, 256, language_model=True),
    Job("", "LoRA, base in float32", LARGER, "adapter", 8, 256, language_model=True),
    Job("", "LoRA, base in float16", LARGER, "adapter", 8, 256, "float16", language_model=True),
    Job("", "LoRA, base in NF4 (QLoRA)", LARGER, "adapter", 8, 256, "nf4", language_model=True),
)
"""Ways to tune the largest model of the course as a language model."""


def tables(root: Path = ROOT) -> str:
    """Both tables in Markdown; jobs of notebooks that are not in `root` are left out."""
    there = [job for job in JOBS if (root / "notebooks" / f"{job.notebook}.ipynb").exists()]
    return "\n".join([*_table(there, "notebook"), "", *_table(LARGEST, "model")]) + "\n"


def _table(jobs: Iterable[Job], first: str) -> list[str]:
    lines = [
        f"| {first} | what | parameters | trained | batch x tokens | float32 | float16 autocast "
        "| on a T4 |",
        "|---|---|---:|---:|---:|---:|---:|---|",
    ]
    for job in jobs:
        plain, half = needed(job), needed(job, "float16")
        fits = {True: "fits", False: "does not fit"}[min(plain, half) <= T4_BYTES]
        if plain > T4_BYTES >= half:
            fits = "fits with float16"
        name = f"{job.notebook}: {job.body.name}" if job.notebook else job.body.name
        lines.append(
            f"| {name} | {job.what} | {job.body.parameters / 1e6:,.0f} M | "
            f"{job.trainable / 1e6:,.1f} M | {job.batch} x {job.length} | {plain / 1e9:.1f} GB | "
            f"{half / 1e9:.1f} GB | {fits} |"
        )
    return lines


if __name__ == "__main__":
    print(tables(), end="")
