"""A model from outside the course: in a folder, in the Hub's cache or on the Hub."""

import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Choice", "ModelError", "found", "is_hub_id"]

CONFIG, WEIGHTS, TOKENIZER = "config.json", "weights", "a tokenizer"
PATTERNS = {
    CONFIG: ("config.json",),
    WEIGHTS: ("model*.safetensors", "pytorch_model*.bin"),
    TOKENIZER: ("tokenizer.json", "vocab.txt", "vocab.json", "*.model"),
}
LACKING = {
    CONFIG: "config.json, so it is not a model",
    WEIGHTS: "weights (model.safetensors)",
    TOKENIZER: "tokenizer (tokenizer.json)",
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
    """A model that was asked for, for an `"encoder"` or a `"decoder"`.

    `source` is a folder, a Hub id (`owner/name` or `owner/name@revision`), the asset `"minilm"` or
    `"smollm2"`, or `"tiny"`; `name` is what figures call it.
    """

    name: str
    source: str
    kind: str


def is_hub_id(source: str) -> bool:
    """Tell whether a source may be the name of a model on the Hub."""
    return bool(re.fullmatch(r"\w[\w.-]*(/[\w.-]+)?(@[\w./-]+)?", source))


def found(choice: Choice, weights: bool) -> Path:
    """Return the folder of a model, downloaded if needed; ModelError if a part is missing."""
    folder = Path(choice.source).expanduser()
    if is_hub_id(choice.source) and not folder.exists():
        folder = _from_hub(choice, weights)
    if not folder.is_dir():
        what = "a file" if folder.exists() else "no folder here"
        raise ModelError(f"The model {choice.source!r} is {what}. {REMEDIES[CONFIG]}")
    for part in _parts(weights):
        if not _has(folder, part):
            hint = _hint(folder, part)
            raise ModelError(f"The folder {choice.source} has no {LACKING[part]}. {hint}")
    return folder


def _parts(weights: bool) -> list[str]:
    return [CONFIG, *([WEIGHTS] if weights else []), TOKENIZER]


def _has(folder: Path, part: str) -> bool:
    return any(any(folder.glob(pattern)) for pattern in PATTERNS[part])


def _hint(folder: Path, part: str) -> str:
    if (folder / "adapter_config.json").is_file():
        return "It holds a LoRA adapter: load the model it belongs to, then the adapter."
    inside = sorted(path.parent.name for path in folder.glob("*/config.json"))
    if part == CONFIG and inside:
        return f"There is one in {', '.join(inside)}: give that folder."
    return REMEDIES[part]


def _from_hub(choice: Choice, weights: bool) -> Path:
    """Look in the Hub's cache first: a class behind one address must not ask the Hub each time."""
    from huggingface_hub import snapshot_download

    repo, _, revision = choice.source.partition("@")
    asked = False
    for local in (True, False):
        for pattern in PATTERNS[WEIGHTS] if weights else ("config.json",):
            if not local and not asked:
                _ask(choice, repo, revision or None)
                asked = True
            try:
                folder = Path(
                    snapshot_download(
                        repo_id=repo,
                        revision=revision or None,
                        allow_patterns=["*.json", "*.txt", "*.model", "*.jinja", pattern],
                        local_files_only=local,
                    )
                )
            except Exception as error:
                if local and isinstance(error, OSError):
                    continue  # not in the cache, or not all of it
                raise ModelError(_unreachable(choice, error)) from error
            if all(_has(folder, part) for part in _parts(weights)):
                return folder
    return folder


def _ask(choice: Choice, repo: str, revision: str | None) -> None:
    """Ask the Hub for one small file first: its own downloads retry for most of a minute."""
    from huggingface_hub import errors, get_hf_file_metadata, hf_hub_url

    try:
        url = hf_hub_url(repo, CONFIG, revision=revision)
        get_hf_file_metadata(url, timeout=SECONDS_TO_ANSWER)
    except errors.GatedRepoError as error:
        raise ModelError(
            f"The model {choice.source!r} needs its owner's consent. Ask for it on its page of the "
            "Hub and log in with `hf auth login`, or choose another."
        ) from error
    except (
        errors.RepositoryNotFoundError,
        errors.RevisionNotFoundError,
        errors.EntryNotFoundError,
    ) as error:
        raise ModelError(
            f"The Hub has no model {choice.source!r} that transformers can load, or hides it from "
            "you, and there is no such folder here. Check the spelling."
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
