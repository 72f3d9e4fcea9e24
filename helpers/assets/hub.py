"""A model from outside the course: in a folder, in the Hub's cache or on the Hub."""

import re
from pathlib import Path

__all__ = ["ModelError", "found", "is_hub_id"]

CONFIG = "config.json"
PARTS = {  # of a usable folder: its files, what a folder without them lacks, and the remedy
    CONFIG: (
        (CONFIG,),
        "config.json, so it is not a model",
        "Give the folder that save_pretrained wrote, or the name of a model on the Hub.",
    ),
    "weights": (
        ("model*.safetensors", "pytorch_model*.bin"),
        "weights (model.safetensors)",
        "Write them with model.save_pretrained(folder).",
    ),
    "a tokenizer": (
        ("tokenizer.json", "vocab.txt", "vocab.json", "*.model"),
        "tokenizer (tokenizer.json)",
        "Write one beside the weights with tokenizer.save_pretrained(folder).",
    ),
}
SECONDS_TO_ANSWER = 10


class ModelError(ValueError):
    """A model that cannot be used; the message says why and names the remedy."""


def is_hub_id(source: str) -> bool:
    """Tell whether a source may be the name of a model on the Hub."""
    return bool(re.fullmatch(r"\w[\w.-]*(/[\w.-]+)?(@[\w./-]+)?", source))


def found(source: str, kind: str, weights: bool) -> Path:
    """Return the folder of a model, downloaded if needed; ModelError if a part is missing.

    `source` is a folder or Hub id of an `"encoder"` or a `"decoder"`.
    """
    folder = Path(source).expanduser()
    if is_hub_id(source) and not folder.exists():
        folder = _from_hub(source, kind, weights)
    if not folder.is_dir():
        what = "a file" if folder.exists() else "no folder here"
        raise ModelError(f"The model {source!r} is {what}. {PARTS[CONFIG][2]}")
    for part in _lacking(folder, weights):
        _, lacks, hint = PARTS[part]
        inside = sorted(path.parent.name for path in folder.glob("*/config.json"))
        if (folder / "adapter_config.json").is_file():
            hint = "It holds a LoRA adapter: load the model it belongs to, then the adapter."
        elif part == CONFIG and inside:
            hint = f"There is one in {', '.join(inside)}: give that folder."
        raise ModelError(f"The folder {source} has no {lacks}. {hint}")
    return folder


def _lacking(folder: Path, weights: bool) -> list[str]:
    return [
        part
        for part, (patterns, *_) in PARTS.items()
        if (weights or part != "weights") and not any(any(folder.glob(p)) for p in patterns)
    ]


def _from_hub(source: str, kind: str, weights: bool) -> Path:
    """Look in the Hub's cache first: a class behind one address must not ask the Hub each time."""
    from huggingface_hub import snapshot_download

    repo, _, revision = source.partition("@")
    asked = False
    for local in (True, False):
        for pattern in PARTS["weights" if weights else CONFIG][0]:
            if not local and not asked:
                _ask(source, kind)
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
                raise ModelError(_unreachable(source, kind, error)) from error
            if not _lacking(folder, weights):
                return folder
    return folder


def _ask(source: str, kind: str) -> None:
    """Ask the Hub for one small file first: its own downloads retry for most of a minute."""
    from huggingface_hub import errors, get_hf_file_metadata, hf_hub_url

    repo, _, revision = source.partition("@")
    try:
        url = hf_hub_url(repo, CONFIG, revision=revision or None)
        get_hf_file_metadata(url, timeout=SECONDS_TO_ANSWER)
    except errors.GatedRepoError as error:
        raise ModelError(
            f"The model {source!r} needs its owner's consent. Ask for it on its page of the Hub "
            "and log in with `hf auth login`, or choose another."
        ) from error
    except (
        errors.RepositoryNotFoundError,
        errors.RevisionNotFoundError,
        errors.EntryNotFoundError,
    ) as error:
        raise ModelError(
            f"The Hub has no model {source!r} that transformers can load, or hides it from you, "
            "and there is no such folder here. Check the spelling."
        ) from error
    except Exception as error:
        raise ModelError(_unreachable(source, kind, error)) from error


def _unreachable(source: str, kind: str, error: Exception) -> str:
    from huggingface_hub.errors import OfflineModeIsEnabled

    why = f"{type(error).__name__}: {error}".split("\n")[0]
    if isinstance(error, OfflineModeIsEnabled):
        why = "HF_HUB_OFFLINE forbids it"
    ours = "MiniLM" if kind == "encoder" else "SmolLM2"
    return (
        f"The model {source!r} is no folder here, nor in the Hub's cache, and the Hub cannot be "
        f"reached ({why}). Set COURSE_{kind.upper()} to a folder with a model, or "
        f"COURSE_PROFILE=cpu for {ours}, which comes from the package index."
    )
