"""Reading weights quietly, and what is wrong with them in one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager

from helpers.pretrained.sources import Choice, ModelError

__all__ = ["explained", "missing_parameters", "quiet", "seeded"]


def missing_parameters(model, report: dict, choice: Choice) -> list[str]:
    """Name the parameters that the checkpoint lacks; those of the body must all be there."""
    lacking, sizes = set(report["missing_keys"]), {}
    for name, saved, expected in report["mismatched_keys"]:
        sizes[name] = f"{tuple(saved)} instead of {tuple(expected)}"
    if sizes:
        name = min(sizes)
        raise ModelError(
            f"The weights of {choice.source} do not fit: {name} has shape {sizes[name]}. Pass the "
            "num_labels it was trained with, or give a folder whose config.json is its own."
        )
    prefix = "" if model.base_model is model else f"{model.base_model_prefix}."
    missing = [name for name, _ in model.named_parameters() if name in lacking]
    body = [n for n in missing if n.startswith(prefix) and not n.startswith(f"{prefix}pooler.")]
    if body:
        raise ModelError(
            f"The weights of {choice.source} lack {len(body)} parameters of the encoder, such as "
            f"{body[0]}; they are not of this {type(model).__name__}. Give another checkpoint."
        )
    return missing


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw random numbers from a seed of one's own, and leave the global generators alone."""
    import torch

    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield


@contextmanager
def quiet() -> Iterator[None]:
    """Silence transformers' tables and bars: `load_encoder` says in words what they show."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


@contextmanager
def explained(choice: Choice) -> Iterator[None]:
    """Turn what a library says about broken files into one sentence."""
    from safetensors import SafetensorError

    try:
        yield
    except ModelError:
        raise
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        first = str(error).strip().split("\n")[0]
        remedy = "Download or save it again, or choose another encoder."
        if "attention" in first:
            remedy = 'Pass attention="eager", or choose another encoder.'
        raise ModelError(
            f"{choice.source} could not be loaded ({type(error).__name__}: {first}). {remedy}"
        ) from error
