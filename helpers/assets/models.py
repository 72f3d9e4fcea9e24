"""Which model a run uses, and the local folder that transformers' `from_pretrained` reads.

Some are made from assets once and kept in the cache: SmolLM2 is unpacked from its GGUF file, and
the profile `smoke` has tiny random models behind the real tokenizers.
"""

import contextlib
import hashlib
import io
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from helpers.assets.hub import found, is_hub_id
from helpers.assets.store import AssetError, cache_dir, file, named, path
from helpers.files import locked
from helpers.runtime import Profile, choose_profile, shows_progress

__all__ = ["Choice", "choose_model", "folder", "hub_id", "model_folder"]


@dataclass(frozen=True)
class Choice:
    """A model that was asked for, for an `"encoder"` or a `"decoder"`.

    `source` is a folder, a Hub id (`owner/name` or `owner/name@revision`), the asset `"minilm"` or
    `"smollm2"`, or `"tiny"`; `name` is what figures call it.
    """

    name: str
    source: str
    kind: str


NAMES = {  # (name, source) by kind and profile; "variant" is the other model of `gpu`
    ("encoder", "smoke"): ("tiny random BERT", "tiny"),
    ("encoder", "cpu"): ("MiniLM-L6", "minilm"),
    ("encoder", "gpu"): (
        "BERT-base",  # commits, so that a run next year starts from the same weights
        "google-bert/bert-base-uncased@86b5e0934494bd15c9632b12f734a8a67f723594",
    ),
    ("encoder", "variant"): (
        "BERT-base, cased",
        "google-bert/bert-base-cased@cd5ef92a9fb2f889e972770a36d4ed042daf221e",
    ),
    ("decoder", "smoke"): ("tiny random Llama", "tiny"),
    ("decoder", "cpu"): ("SmolLM2-135M-Instruct", "smollm2"),
    ("decoder", "gpu"): (
        "GPT-2",
        "openai-community/gpt2@607a30d783dfa663caf39e06633721c8d4cfcd7e",
    ),
    ("decoder", "variant"): (
        "SmolLM2-1.7B-Instruct",
        "HuggingFaceTB/SmolLM2-1.7B-Instruct@31b70e2e869a7173562077fd711b654946d38674",
    ),
}
HUB = {
    "minilm": "sentence-transformers/all-MiniLM-L6-v2",
    "smollm2": "HuggingFaceTB/SmolLM2-135M-Instruct",
}
SMOLLM2 = "SmolLM2-135M-Instruct.Q4_1.gguf"
FORM = "float32, digits one by one"  # what is done to that file
FILES = ("config.json", "tokenizer.json", "model.safetensors")


def folder(name: str, profile: Profile | None = None) -> Path:
    """Return a folder for `AutoModel.from_pretrained` and `AutoTokenizer.from_pretrained`.

    `"minilm"` is an encoder, `"smollm2"` a decoder. `smoke` uses a tiny random model with the same
    tokenizer, `gpu` a larger one (BERT-base, GPT-2); `COURSE_ENCODER` or `COURSE_DECODER` names
    another. Without a profile it is the one of this run.

    Raises:
        AssetError: if the name is unknown, or the asset cannot be fetched.
        ModelError: if a folder or a model of the Hub cannot be used.
    """
    kinds = {source: kind for (kind, size), (_, source) in NAMES.items() if size == "cpu"}
    if name not in kinds:
        raise AssetError(f"{name!r} is no model; the models are: {', '.join(kinds)}.")
    return model_folder(choose_model(kinds[name], profile or choose_profile()))


def choose_model(
    kind: str, profile: Profile | None, source: str | Path | None = None, variant: bool = False
) -> Choice:
    """Decide which model is meant: the argument, then the environment, then the profile.

    `source` is a folder or Hub id, else `COURSE_ENCODER` or `COURSE_DECODER`; no profile means
    `cpu`. `variant` asks in `gpu` for the cased encoder or the larger decoder.
    """
    source = str(source or os.environ.get(f"COURSE_{kind.upper()}") or "").strip()
    if source:  # it is called by the last part of the path or Hub id, without its revision
        shown = source.partition("@")[0] if is_hub_id(source) else source
        return Choice(re.split(r"[\\/]", shown.rstrip("\\/"))[-1], source, kind)
    size = profile.name if profile else "cpu"
    return Choice(*NAMES[kind, "variant" if variant and size == "gpu" else size], kind)


def hub_id(source: str) -> str:
    """Return the Hub's name of a source, with its revision if given; else the source itself."""
    return HUB.get(source, source)


def model_folder(choice: Choice, weights: bool = True) -> Path:
    """Return a folder with config, tokenizer and, if asked for, the weights of a model.

    Raises:
        ModelError: if something is missing or cannot be downloaded.
        AssetError: if MiniLM or SmolLM2 cannot be fetched.
    """
    if choice.source == "minilm":
        return path("minilm")
    if choice.source == "smollm2":
        return _smollm2(weights)
    if choice.source == "tiny":
        return _tiny(choice.kind)
    return found(choice.source, choice.kind, weights)


def _made_once(
    name: str, facts: list, files: tuple[str, ...], write: Callable[[Path], None]
) -> Path:
    """Find a folder in the cache, or make it with `write`; it is complete or absent (atomic).

    Other `facts` make another folder; `files` must be in it. AssetError if the cache is not
    writable.
    """
    digest = hashlib.sha256(json.dumps(facts).encode("utf-8")).hexdigest()[:16]
    home = cache_dir() / "derived"
    folder = home / f"{name}-{digest}"

    def is_whole() -> bool:
        return all((folder / file).is_file() for file in files)

    if is_whole():
        return folder
    try:
        with locked(home / name):
            if not is_whole():
                _make(folder, write)
    except OSError as error:
        raise AssetError(
            f"{folder} could not be made ({error}). Unpacked models need up to 0.6 GB there, once: "
            "free some space, or set COURSE_CACHE to a folder that you can write to."
        ) from error
    return folder


def _make(folder: Path, write: Callable[[Path], None]) -> None:
    for left in folder.parent.glob(f"{folder.name}.part-*"):  # of a run that was killed
        shutil.rmtree(left, ignore_errors=True)
    part = Path(tempfile.mkdtemp(prefix=f"{folder.name}.part-", dir=folder.parent))
    try:
        write(part)
        part.chmod(0o755)  # mkdtemp, like safetensors, lets nobody else read what it makes
        for path in part.iterdir():
            path.chmod(0o644)
        shutil.rmtree(folder, ignore_errors=True)  # a file is missing in it
        part.replace(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _smollm2(weights: bool) -> Path:
    """Unpack SmolLM2: tokenizer, chat template and config (a few MB), or the weights as well.

    A 4-bit weight is a scale times a number from 0 to 15 plus an offset. That needs more digits
    than half precision has, so the weights are kept in float32, 538 MB.
    """
    hashes = {member.name: member.sha256 for member in named("smollm2").members}
    part, files, write = "tokenizer", FILES[:2], _write_smollm2_tokenizer
    if weights:
        part, files, write = "model", FILES, _write_smollm2
    return _made_once(f"smollm2-{part}", [part, FORM, hashes.get(SMOLLM2)], files, write)


def _write_smollm2_tokenizer(target: Path) -> None:
    from tokenizers import pre_tokenizers
    from transformers import AutoConfig, AutoTokenizer

    gguf = file("smollm2", SMOLLM2)
    config, tokenizer = (
        auto.from_pretrained(gguf.parent, gguf_file=gguf.name, trust_remote_code=False)
        for auto in (AutoConfig, AutoTokenizer)
    )
    # GGUF names this rule ("smollm") and does not spell it out: each digit is a token of its own.
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.model_max_length = config.max_position_embeddings
    config.architectures = ["LlamaForCausalLM"]
    config.save_pretrained(target)
    tokenizer.save_pretrained(target)


def _write_smollm2(target: Path) -> None:
    import torch
    import transformers
    from safetensors.torch import save_file

    shutil.copytree(_smollm2(weights=False), target, dirs_exist_ok=True)
    gguf = file("smollm2", SMOLLM2)
    said = f"smollm2: unpacked once, from 4 bits a weight to 32, into {target.parent}"
    print(said, file=sys.stderr, flush=True)
    unpacked = {}
    if hasattr(transformers, "GgufConfig"):  # else some machines keep the weights packed
        unpacked["quantization_config"] = transformers.GgufConfig(dequantize=True)
    hidden = contextlib.nullcontext()
    if not shows_progress():
        hidden = contextlib.redirect_stderr(io.StringIO())  # transformers draws a bar of its own
    with hidden:
        model = transformers.AutoModelForCausalLM.from_pretrained(
            gguf.parent,
            gguf_file=gguf.name,
            dtype=torch.float32,
            trust_remote_code=False,
            **unpacked,
        )
    # named_parameters leaves out the output layer, which is the word vectors once more.
    state = {name: value.detach().contiguous() for name, value in model.named_parameters()}
    save_file(state, target / "model.safetensors", metadata={"format": "pt"})


def _tiny(kind: str) -> Path:
    """Make a narrow random BERT or Llama, as deep as the real one so that block names fit."""
    real = path("minilm") if kind == "encoder" else _smollm2(weights=False)
    facts = json.loads((real / "config.json").read_text(encoding="utf-8"))
    kept = ("vocab_size", "num_hidden_layers", "max_position_embeddings", "tie_word_embeddings")
    sizes = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}
    sizes |= {key: facts[key] for key in kept if key in facts}
    if kind == "decoder":
        sizes |= {key: facts.get(key) for key in ("bos_token_id", "eos_token_id")}
    write = partial(_write_tiny, real, kind, sizes)
    return _made_once(f"tiny-{kind}", [kind, sizes, real.name], FILES, write)


def _write_tiny(real: Path, kind: str, sizes: dict, target: Path) -> None:
    import torch
    from transformers import BertConfig, BertModel, LlamaConfig, LlamaForCausalLM

    for source in real.iterdir():
        if source.is_file() and not source.name.startswith((".", "config.", "model.")):
            shutil.copy(source, target)
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(0)
        if kind == "encoder":
            model = BertModel(BertConfig(**sizes), add_pooling_layer=False)
        else:
            model = LlamaForCausalLM(LlamaConfig(**sizes, num_key_value_heads=1))
        model.save_pretrained(target)
