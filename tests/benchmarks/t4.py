"""What the notebooks need of a T4's memory, computed before anything is run.

    python tests/benchmarks/t4.py             prints two tables
    python tests/benchmarks/t4.py --write     puts them into INSTRUCTORS.md

A T4 has 15 GB for programs and compute capability 7.5: it computes in float32 and float16, and only
imitates bfloat16. `fit(precision="float16")` keeps weights in float32, computes matrix products in
float16 (autocast), and scales the loss so that small gradients do not become zero.

Memory of a training step, in bytes, for P weights of which t are trained, N = batch x length
tokens, L blocks that a gradient passes through, width h, inner width f, a heads, and v bytes per
number (4, or 2 under autocast):

    weights      4 P  (2 P in float16; in NF4 0.516 for each weight of the blocks' matrices)
    copies       2 t  under autocast: float16 copies of what trains are kept until the step ends
    gradients    4 t
    AdamW        8 t  (a mean and a mean of squares)
    activations  N L (v (6 h + k f) + 8 h + 2 h + (2 v + 1) a length)
    loss         12 N V  for a language model's scores over V words (scores, softmax, gradient)
    the rest     1 GB: CUDA's context, its libraries, what the allocator cannot reuse

The activations are those of Korthikanti et al. (2022), who count 34 h + 5 a length for a token of a
block, at two bytes per number and f = 4 h: what the backward pass needs of attention (5 h and its
maps), of the inner matrices (h + k f; k = 2, or 4 where one product gates another), of the two
norms (2 h, here always in float32) and of dropout (a byte for each of its numbers). It is an upper
estimate: a fused attention keeps no maps, a model without dropout no masks, and a frozen matrix not
what it was multiplied with. Asking a model keeps no activations: only keys and values, 2 L N h v,
and one block's numbers.
"""

import re
import sys
from dataclasses import dataclass, field
from functools import cached_property

import torch
from transformers import AutoModel, BertConfig, GPT2Config, LlamaConfig, PretrainedConfig

from helpers.files import write_text
from helpers.runtime import ROOT

__all__ = ["JOBS", "LARGEST", "T4_BYTES", "Body", "Job", "needed", "tables"]

T4_BYTES = 15e9
REST = 1e9  # bytes
NF4 = 0.5 + 1 / 64 + 4 / (64 * 256)  # bytes a weight: 4 bits, a byte for 64 of them, 4 for 16,384
NUMBER = {"float32": 4, "float16": 2}  # bytes


@dataclass(frozen=True)
class Body:
    """A transformer, whose weights are counted on a model that is shaped and never filled."""

    name: str
    config: PretrainedConfig
    options: dict = field(default_factory=dict)

    @cached_property
    def counts(self) -> tuple[int, int, int]:
        """Weights of the model, of a block, and of the matrices of a block."""
        with torch.device("meta"):
            model = AutoModel.from_config(self.config, trust_remote_code=False, **self.options)
        block = next(m for m in model.modules() if isinstance(m, torch.nn.ModuleList))[0]
        parameters = list(block.parameters())
        matrices = sum(p.numel() for p in parameters if p.ndim == 2)
        return model.num_parameters(), sum(p.numel() for p in parameters), matrices

    def bytes_kept(self, storage: str) -> float:
        """Bytes of the weights, as `float32`, `float16` or `nf4` (all but the blocks' matrices)."""
        parameters, _, matrices = self.counts
        if storage == "nf4":
            packed = self.config.num_hidden_layers * matrices
            return NF4 * packed + 4 * (parameters - packed)
        return NUMBER[storage] * parameters


BERT = Body("BERT-base", BertConfig(), {"add_pooling_layer": False})
CASED = Body("BERT-base, cased", BertConfig(vocab_size=28_996), {"add_pooling_layer": False})
GPT2 = Body("GPT-2", GPT2Config())
LARGER = Body(
    "SmolLM2-1.7B-Instruct",
    LlamaConfig(
        vocab_size=49_152, hidden_size=2048, intermediate_size=8192, num_hidden_layers=24,
        num_attention_heads=32,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Job:
    """What a notebook does with one model."""

    notebook: str  # the name of its file, from `notebooks/`, without ending
    what: str
    body: Body
    trained: int | str  # blocks from the top, "all", "adapter" (LoRA on attention), 0 to ask only
    batch: int
    length: int  # tokens per row
    storage: str = "float32"  # or "float16", "nf4"
    rank: int = 8  # of the adapter
    language_model: bool = False  # the loss is over the vocabulary, at every token
    beside: tuple[Body, ...] = ()  # models that stay in memory meanwhile, in float32

    @property
    def trainable(self) -> int:
        """Weights that are trained; a head of two labels is left out."""
        parameters, block, _ = self.body.counts
        if self.trained == "all":
            return parameters
        if self.trained == "adapter":
            config = self.body.config
            return config.num_hidden_layers * 4 * 2 * self.rank * config.hidden_size
        return self.trained * block


def needed(job: Job, precision: str = "float32") -> float:
    """Bytes at the peak of a training step or an answer; precision "float16" is autocast."""
    config, trained, tokens = job.body.config, job.trainable, job.batch * job.length
    width, depth, number = config.hidden_size, config.num_hidden_layers, NUMBER[precision]
    inner = getattr(config, "intermediate_size", 4 * width)
    inner *= 4 if config.model_type == "llama" else 2
    kept = job.body.bytes_kept(job.storage) + REST
    kept += sum(other.bytes_kept("float32") for other in job.beside)
    if not trained:
        return kept + tokens * number * (2 * depth * width + 6 * width + inner)
    copies = 2 * trained if precision == "float16" else 0
    passed = job.trained if isinstance(job.trained, int) else depth
    maps = (2 * number + 1) * config.num_attention_heads * job.length
    states = number * (6 * width + inner) + 10 * width + maps
    loss = 12 * tokens * config.vocab_size if job.language_model else 0
    return kept + copies + 12 * trained + tokens * passed * states + loss


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
        "07_lora", "QLoRA, four GPT-2 in memory", LARGER, "adapter", 8, 128, "nf4",
        beside=(GPT2,) * 4,
    ),
    Job("08_domain_llm", "LoRA on text", LARGER, "adapter", 2, 257, language_model=True),
    Job("08_domain_llm", "LoRA on preferences", LARGER, "adapter", 4, 142, language_model=True),
    Job(
        "bonus/lora_choices", "top eight blocks, another in memory", GPT2, 8, 8, 128, beside=(GPT2,)
    ),
)  # fmt: skip
"""What the notebooks do in `gpu` with a model of the Hub; the largest of each kind."""

LARGEST = (
    Job("", "every weight", LARGER, "all", 8, 256, language_model=True),
    Job("", "LoRA, base in float32", LARGER, "adapter", 8, 256, language_model=True),
    Job("", "LoRA, base in float16", LARGER, "adapter", 8, 256, "float16", language_model=True),
    Job("", "LoRA, base in NF4 (QLoRA)", LARGER, "adapter", 8, 256, "nf4", language_model=True),
)
"""Ways to tune the largest model of the course as a language model."""


def tables() -> str:
    """Both tables in Markdown."""
    return f"{_table('notebook', JOBS)}\n{_table('model', LARGEST)}"


def _table(first: str, jobs: tuple[Job, ...]) -> str:
    lines = [
        f"| {first} | what | parameters | trained | batch x tokens | float32 | float16 autocast "
        "| on a T4 |",
        "|---|---|---:|---:|---:|---:|---:|---|",
    ]
    for job in jobs:
        plain, half = needed(job), needed(job, "float16")
        fits = "fits" if min(plain, half) <= T4_BYTES else "does not fit"
        if plain > T4_BYTES >= half:
            fits = "fits with float16"
        name = f"{job.notebook}: {job.body.name}" if job.notebook else job.body.name
        lines.append(
            f"| {name} | {job.what} | {job.body.counts[0] / 1e6:,.0f} M | "
            f"{job.trainable / 1e6:,.1f} M | {job.batch} x {job.length} | {plain / 1e9:.1f} GB | "
            f"{half / 1e9:.1f} GB | {fits} |"
        )
    return "\n".join(lines) + "\n"


def written(page: str) -> str:
    """The text of INSTRUCTORS.md with fresh tables."""
    block = re.compile(r"(<!-- t4 -->\n).*?(<!-- /notebooks -->)", re.DOTALL)
    return block.sub(lambda match: match[1] + tables() + match[2], page)


if __name__ == "__main__":
    page = ROOT / "INSTRUCTORS.md"
    if "--write" in sys.argv[1:]:
        write_text(page, written(page.read_text(encoding="utf-8")))
    else:
        print(tables(), end="")
