"""Which model a run uses, and a folder with all its files, or one sentence on what is wrong."""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from helpers import assets
from helpers.pretrained import smollm2
from helpers.runtime import Profile

__all__ = ["Choice", "ModelError", "choose", "choose_decoder", "opened"]

BERT = {  # commits, so that a run next year starts from the same weights
    False: "google-bert/bert-base-uncased@86b5e0934494bd15c9632b12f734a8a67f723594",
    True: "google-bert/bert-base-cased@cd5ef92a9fb2f889e972770a36d4ed042daf221e",
}
GPT2 = "openai-community/gpt2@607a30d783dfa663caf39e06633721c8d4cfcd7e"
LARGER = "HuggingFaceTB/SmolLM2-1.7B-Instruct@31b70e2e869a7173562077fd711b654946d38674"
CONFIG, WEIGHTS, TOKENIZER = "config.json", "weights", "a tokenizer"
PATTERNS = {
    CONFIG: ("config.json",),
    WEIGHTS: ("model*.safetensors", "pytorch_model*.bin"),
    TOKENIZER: ("tokenizer.json", "vocab.txt", "vocab.json", "*.model"),
}
REMEDIES = {
    CONFIG: "Give the folder that save_pretrained wrote, or the name of a model on the Hub.",
    WEIGHTS: "Write them with model.save_pretrained(folder).",
    TOKENIZER: "Write one beside the weights with tokenizer.save_pretrained(folder).",
}
SECONDS_TO_ANSWER = 10


class ModelError(ValueError):
    """A model that cannot be used; the message says why and names the remedy."""


@dataclass(frozen=True)
class Choice:
    """A model that was asked for.

    Attributes:
        name: what figures call it.
        source: a folder, a Hub id (`owner/name` or `owner/name@revision`), the asset `"minilm"`
            or `"smollm2"`, or `"tiny"`.
        kind: `"encoder"` or `"decoder"`, as messages call it.
    """

    name: str
    source: str
    kind: str = "encoder"


def choose(profile: Profile | None, source: str | Path | None, cased: bool) -> Choice:
    """Decide which encoder is meant: the argument, then `COURSE_ENCODER`, then the profile."""
    source = str(source or os.environ.get("COURSE_ENCODER") or "").strip()
    if source:
        return Choice(_shown(source), source)
    size = profile.name if profile else "cpu"
    if size == "smoke":
        return Choice("tiny random BERT", "tiny")
    if size == "gpu":
        return Choice("BERT-base, cased" if cased else "BERT-base", BERT[cased])
    return Choice("MiniLM-L6", "minilm")


def choose_decoder(
    profile: Profile | None, source: str | Path | None, larger: bool = False
) -> Choice:
    """Decide which decoder is meant: the argument, then `COURSE_DECODER`, then the profile."""
    source = str(source or os.environ.get("COURSE_DECODER") or "").strip()
    if source:
        return Choice(_shown(source), source, "decoder")
    size = profile.name if profile else "cpu"
    if size == "smoke":
        return Choice("tiny random Llama", "tiny", "decoder")
    if size == "gpu":
        name, source = ("SmolLM2-1.7B-Instruct", LARGER) if larger else ("GPT-2", GPT2)
        return Choice(name, source, "decoder")
    return Choice("SmolLM2-135M-Instruct", "smollm2", "decoder")


@contextmanager
def opened(choice: Choice, weights: bool = True) -> Iterator[tuple[Path, Path]]:
    """Hold the folders of a model and of its tokenizer, complete, while they are read.

    Args:
        choice: what `choose` gave.
        weights: whether weights are needed.

    Raises:
        ModelError: if something is missing or cannot be had.
        assets.AssetError: if MiniLM or SmolLM2 is meant and cannot be had.
    """
    if choice.source == "minilm":
        folder = assets.path("minilm")
        yield folder, folder
    elif choice.source == "smollm2":
        tokenizer = smollm2.tokenizer_folder()
        yield (smollm2.model_folder() if weights else tokenizer), tokenizer
    elif choice.source == "tiny":
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            encoder = choice.kind == "encoder"
            tokenizer = assets.path("minilm") if encoder else smollm2.tokenizer_folder()
            _write_tiny(Path(folder), tokenizer, encoder)
            yield Path(folder), tokenizer
    else:
        folder = Path(choice.source).expanduser()
        if _is_hub_id(choice.source) and not folder.exists():
            folder = _from_hub(choice, weights)
        _check(folder, choice.source, weights)
        yield folder, folder


def _write_tiny(folder: Path, tokenizer: Path, encoder: bool) -> None:
    """Make a BERT or Llama as deep as the real one and far narrower, its weights always the same.

    The depth is kept so that whatever names a block by its number runs as it stands.
    """
    import json

    import torch
    from transformers import BertConfig, BertModel, LlamaConfig, LlamaForCausalLM

    facts = json.loads((tokenizer / "config.json").read_text(encoding="utf-8"))
    kept = ("vocab_size", "num_hidden_layers", "max_position_embeddings", "tie_word_embeddings")
    sizes = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}
    sizes |= {key: facts[key] for key in kept if key in facts}
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(0)
        if encoder:
            model = BertModel(BertConfig(**sizes), add_pooling_layer=False)
        else:
            ends = {key: facts.get(key) for key in ("bos_token_id", "eos_token_id")}
            model = LlamaForCausalLM(LlamaConfig(**sizes, **ends, num_key_value_heads=1))
        model.save_pretrained(folder)


def _shown(source: str) -> str:
    """Give the last part of a path or of a Hub id, without its revision."""
    shown = source.partition("@")[0] if _is_hub_id(source) else source
    return re.split(r"[\\/]", shown.rstrip("\\/"))[-1]


def _is_hub_id(source: str) -> bool:
    return bool(re.fullmatch(r"\w[\w.-]*(/[\w.-]+)?(@[\w./-]+)?", source))


def _has(folder: Path, part: str) -> bool:
    return any(any(folder.glob(pattern)) for pattern in PATTERNS[part])


def _check(folder: Path, source: str, weights: bool) -> None:
    """Refuse a folder that lacks a part; transformers would go on without a tokenizer."""
    if not folder.is_dir():
        what = "a file" if folder.exists() else "no folder here"
        raise ModelError(f"The model {source!r} is {what}. {REMEDIES[CONFIG]}")
    for part in (CONFIG, *([WEIGHTS] if weights else []), TOKENIZER):
        if not _has(folder, part):
            raise ModelError(f"The folder {source} has no {_spelled(part)}.{_hint(folder, part)}")


def _spelled(part: str) -> str:
    if part == CONFIG:
        return f"{CONFIG}, so it is not a model"
    files = {WEIGHTS: "weights (model.safetensors)", TOKENIZER: "tokenizer (tokenizer.json)"}
    return files[part]


def _hint(folder: Path, part: str) -> str:
    if (folder / "adapter_config.json").is_file():
        return " It holds a LoRA adapter: load the model it belongs to, then the adapter."
    inside = sorted(path.parent.name for path in folder.glob("*/config.json"))
    if part == CONFIG and inside:
        return f" There is one in {', '.join(inside)}: give that folder."
    return f" {REMEDIES[part]}"


def _from_hub(choice: Choice, weights: bool) -> Path:
    """Find a model in the Hub's cache, or download what is needed of it.

    The cache comes first, so that a class behind one address does not ask the Hub each time.
    """
    from huggingface_hub import snapshot_download

    repo, _, revision = choice.source.partition("@")
    wanted = ["*.json", "*.txt", "*.model", "*.jinja"]
    parts = [CONFIG, TOKENIZER, *([WEIGHTS] if weights else [])]
    arguments = {"repo_id": repo, "revision": revision or None}
    for pattern in PATTERNS[WEIGHTS] if weights else ("",):
        allowed = {"allow_patterns": [*wanted, pattern] if pattern else wanted}
        try:
            found = Path(snapshot_download(**arguments, **allowed, local_files_only=True))
        except OSError:
            continue  # not in the cache, or not all of it
        if all(_has(found, part) for part in parts):
            return found
    _ask(choice, repo, revision)
    for pattern in PATTERNS[WEIGHTS] if weights else ("",):
        allowed = {"allow_patterns": [*wanted, pattern] if pattern else wanted}
        try:
            found = Path(snapshot_download(**arguments, **allowed))
        except Exception as error:
            raise ModelError(_unreachable(choice, error)) from error
        if not weights or _has(found, WEIGHTS):
            break
    return found


def _ask(choice: Choice, repo: str, revision: str) -> None:
    """Ask the Hub for one small thing first: its own downloads try for most of a minute."""
    from huggingface_hub import errors, get_hf_file_metadata, hf_hub_url

    source = choice.source
    try:
        url = hf_hub_url(repo, CONFIG, revision=revision or None)
        get_hf_file_metadata(url, timeout=SECONDS_TO_ANSWER)
    except errors.GatedRepoError as error:
        raise ModelError(
            f"The model {source!r} needs its owner's consent. Ask for it on its page of the Hub "
            "and log in with `hf auth login`, or choose another."
        ) from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        raise ModelError(
            f"The Hub has no model {source!r}, or hides it from you, and there is no such folder "
            "here. Check the spelling."
        ) from error
    except errors.EntryNotFoundError as error:
        raise ModelError(
            f"The Hub's {source!r} has no {CONFIG}, so it is not a model that transformers can "
            "load. Choose another."
        ) from error
    except Exception as error:
        raise ModelError(_unreachable(choice, error)) from error


def _unreachable(choice: Choice, error: Exception) -> str:
    from huggingface_hub.errors import OfflineModeIsEnabled

    why = f"{type(error).__name__}: {error}".split("\n")[0]
    if isinstance(error, OfflineModeIsEnabled):
        why = "HF_HUB_OFFLINE forbids it"
    ours = "MiniLM" if choice.kind == "encoder" else "SmolLM2"
    return (
        f"The model {choice.source!r} is no folder here, nor in the Hub's cache, and the Hub "
        f"cannot be reached ({why}). Set COURSE_{choice.kind.upper()} to a folder with a model, or "
        f"COURSE_PROFILE=cpu for {ours}, which comes from the package index."
    )
