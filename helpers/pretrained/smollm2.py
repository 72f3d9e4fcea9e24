"""SmolLM2 as transformers reads it: unpacked once from its GGUF file, kept in the cache."""

import hashlib
import importlib
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from helpers import assets
from helpers.runtime import shows_progress

__all__ = ["model_folder", "tokenizer_folder"]

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
FORM = "float32, digits one by one"  # what was done to the file; another form is another folder
PATIENCE = 2.0  # seconds of waiting for another process before we say so


def tokenizer_folder() -> Path:
    """Give a folder with the tokenizer, its chat template and the model's config, a few MB.

    Raises:
        assets.AssetError: if the GGUF file cannot be had, or the cache cannot be written.
    """
    return _kept("tokenizer", ("config.json", "tokenizer.json"), _write_tokenizer)


def model_folder() -> Path:
    """Give a folder with the config and the weights, every one as the GGUF file has it.

    A weight of 4 bits is a step times a number from 0 to 15 plus an offset. That needs more digits
    than a half-precision number has, so the weights are kept in float32, 538 MB.

    Raises:
        assets.AssetError: as for `tokenizer_folder`.
    """
    return _kept("model", ("config.json", "model.safetensors"), _write_model)


def _kept(part: str, files: tuple[str, ...], write: Callable[[Path, Path], None]) -> Path:
    """Find a folder in the cache, or write it; it is there as a whole or not at all."""
    known = [asset for asset in assets.describe() if asset.name == "smollm2"]
    hashes = {member.name: member.sha256 for asset in known for member in asset.members}
    facts = json.dumps([part, FORM, hashes.get(FILE)])
    digest = hashlib.sha256(facts.encode("utf-8")).hexdigest()[:16]
    home = assets.cache_dir() / "derived"
    folder = home / f"smollm2-{part}-{digest}"
    if _whole(folder, files):
        return folder
    gguf = assets.file("smollm2", FILE)
    try:
        home.mkdir(parents=True, exist_ok=True)
        with _locked(home / f"smollm2-{part}.lock"):
            if not _whole(folder, files):
                _write(gguf, folder, write)
    except OSError as error:
        raise assets.AssetError(
            f"SmolLM2 could not be unpacked into {folder} ({error}). It needs 0.6 GB there, once: "
            "free some space, or set COURSE_CACHE to a folder that you can write to."
        ) from error
    return folder


def _whole(folder: Path, files: tuple[str, ...]) -> bool:
    return all((folder / name).is_file() for name in files)


def _write(gguf: Path, folder: Path, write: Callable[[Path, Path], None]) -> None:
    for left in folder.parent.glob(f"{folder.name}.part-*"):  # of a run that was killed
        shutil.rmtree(left, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)  # a file is missing in it
    part = Path(tempfile.mkdtemp(prefix=f"{folder.name}.part-", dir=folder.parent))
    try:
        write(gguf, part)
        part.chmod(0o755)  # mkdtemp, like safetensors, lets nobody else read what it makes
        for path in part.iterdir():
            path.chmod(0o644)
        part.replace(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _write_tokenizer(gguf: Path, folder: Path) -> None:
    from tokenizers import pre_tokenizers
    from transformers import AutoConfig, AutoTokenizer

    config = AutoConfig.from_pretrained(gguf.parent, gguf_file=gguf.name)
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    # GGUF names this rule ("smollm") and does not spell it out: a digit is a piece of its own.
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.model_max_length = config.max_position_embeddings
    config.architectures = ["LlamaForCausalLM"]
    config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _write_model(gguf: Path, folder: Path) -> None:
    import torch
    import transformers
    from safetensors.torch import save_file

    shutil.copy(tokenizer_folder() / "config.json", folder)
    said = f"smollm2: unpacked once, from 4 bits a weight to 32, into {folder.parent}"
    print(said, file=sys.stderr, flush=True)
    unpacked = {}
    if hasattr(transformers, "GgufConfig"):  # else some machines keep the weights packed
        unpacked["quantization_config"] = transformers.GgufConfig(dequantize=True)
    with _bar_as_asked():
        model = transformers.AutoModelForCausalLM.from_pretrained(
            gguf.parent, gguf_file=gguf.name, dtype=torch.float32, **unpacked
        )
    # named_parameters leaves out the output layer, which is the word vectors once more.
    state = {name: value.detach().contiguous() for name, value in model.named_parameters()}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


@contextmanager
def _bar_as_asked() -> Iterator[None]:
    """Let transformers' bar over the tensors of a GGUF file heed `COURSE_PROGRESS`."""
    reader = importlib.import_module("transformers.modeling_gguf_pytorch_utils")
    bar = getattr(reader, "tqdm", None)
    if bar is None:
        yield
        return
    reader.tqdm = partial(bar, disable=not shows_progress())
    try:
        yield
    finally:
        reader.tqdm = bar


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        lock.acquire(timeout=PATIENCE)
    except Timeout:
        print("Another process is unpacking SmolLM2: waiting for it.", file=sys.stderr, flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
