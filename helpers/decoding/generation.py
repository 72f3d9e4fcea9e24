"""Ask by writing: let a decoder go on, stop it, and look for a label in what it wrote."""

import re
from collections.abc import Sequence

from helpers.decoding.tokens import check_decoder, check_room, encode_prompts, label_words
from helpers.pretrained import Pretrained, unwrapped
from helpers.runtime import shows_progress

__all__ = ["generate", "parse_label"]


def generate(
    loaded: Pretrained, prompts: Sequence[str], *, max_new_tokens: int,
    stop: Sequence[str] = (), temperature: float = 0.0, seed: int = 0, batch_size: int = 16,
) -> list[str]:  # fmt: skip
    """Let the model continue each prompt, in batches that are padded on the left.

    With temperature 0 the most probable token is taken each time, and the texts are those that
    each prompt alone would give. Settings that a checkpoint recommends (top-p, a penalty for
    repetition) are not used: what is written is the model's own distribution.

    Args:
        loaded: what `load_decoder()` gave.
        prompts: texts to go on from; spaces at their end are taken off.
        max_new_tokens: at most so many tokens are written.
        stop: strings that end a text, such as a line break; they are not part of it.
        temperature: 0 for the most probable token, 1 to draw from the model's distribution; below
            1 sharpens it.
        seed: of the draws. They depend on `batch_size` as well. Global generators are left alone.
        batch_size: prompts at once, of similar length.

    Returns:
        What was written after each prompt, without end token, in the order of the prompts.

    Raises:
        ValueError: if a prompt and its answer do not fit into the model's context, or a setting
            makes no sense.
    """
    tokenizer = loaded.tokenizer
    stop = [stop] if isinstance(stop, str) else list(stop)
    check_decoder(loaded)
    _check(max_new_tokens, stop, temperature)
    _, rows = encode_prompts(tokenizer, prompts)
    remedy = "Shorten it, or ask for fewer tokens."
    check_room(tokenizer, [], rows, max_new_tokens, remedy)
    settings = {"max_new_tokens": max_new_tokens, "do_sample": temperature > 0}
    if temperature > 0:
        settings |= {"temperature": temperature, "top_k": 0, "top_p": 1.0}
    if stop:
        settings |= {"stop_strings": stop}
    texts = _written(loaded, rows, settings, seed, batch_size)
    return [_until(text, stop) for text in texts]


def parse_label(text: str, labels) -> str | None:
    """Find the label that an answer names; None is for the caller to count.

    The word that comes first decides, whatever its capitals. Parts of words do not count: there
    is no "able" in "unable". Of two words at one place the longer wins.

    Args:
        text: what the model wrote.
        labels: words, or label -> its word or words, as for `label_scores`.
    """
    found = []
    for label, words in label_words(labels).items():
        for word in words:
            match = re.search(rf"(?<!\w){re.escape(word.strip())}(?!\w)", text, re.IGNORECASE)
            if match:
                found.append((match.start(), -len(word), label))
    return min(found)[2] if found else None


def _written(loaded, rows, settings, seed: int, batch_size: int) -> list[str]:
    import torch
    from tqdm.auto import tqdm

    texts: list[str] = [""] * len(rows)
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    was_training = loaded.model.training
    loaded.model.eval()
    bar = tqdm(total=len(rows), disable=not shows_progress(), desc="writing", leave=False)
    devices = range(torch.cuda.device_count())
    try:
        with bar, torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            for start in range(0, len(rows), batch_size):
                chosen = order[start : start + batch_size]
                answers = _answers(loaded, [rows[i] for i in chosen], settings)
                for i, text in zip(chosen, answers, strict=True):
                    texts[i] = text
                bar.update(len(chosen))
    finally:
        loaded.model.train(was_training)
    return texts


def _answers(loaded, rows: list[list[int]], settings: dict) -> list[str]:
    from transformers import GenerationConfig

    tokenizer, model = loaded.tokenizer, unwrapped(loaded.model)
    batch = tokenizer.pad(
        {"input_ids": rows}, padding_side="left", return_tensors="pt", verbose=False
    ).to(model.device)
    own = model.generation_config
    config = GenerationConfig(
        **settings, use_cache=True, eos_token_id=own.eos_token_id, bos_token_id=own.bos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    extra = {"tokenizer": tokenizer} if "stop_strings" in settings else {}
    model.generation_config = config  # generate fills in what it is not told from the model's own
    try:
        ids = model.generate(**batch, **extra)
    finally:
        model.generation_config = own
    written = ids[:, batch["input_ids"].shape[1] :]
    return tokenizer.batch_decode(written, skip_special_tokens=True)


def _until(text: str, stop: list[str]) -> str:
    ends = [place for place in (text.find(s) for s in stop) if place >= 0]
    return text[: min(ends)] if ends else text


def _check(max_new_tokens: int, stop: list[str], temperature: float) -> None:
    if max_new_tokens < 1:
        raise ValueError(f"max_new_tokens is {max_new_tokens}; write at least 1.")
    if temperature < 0:
        raise ValueError(f"temperature is {temperature}; give 0 for the likeliest, or more.")
    if not all(stop):
        raise ValueError("A stop string is empty and would end every text before it began.")
