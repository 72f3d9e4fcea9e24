"""Ask by writing: let a decoder go on, stop it, and look for a label in what it wrote."""

import re
from collections.abc import Sequence

import torch
from transformers import GenerationConfig

from helpers.decoding.scores import answer_rows, pad_left
from helpers.decoding.tokens import check_decoder, check_room, encode_prompts, label_words
from helpers.pretrained import Pretrained, unwrapped

__all__ = ["generate", "parse_label"]

# What a checkpoint recommends instead is used where we say nothing.
PLAIN = {"num_beams": 1, "repetition_penalty": 1.0, "no_repeat_ngram_size": 0, "min_length": 0}
PLAIN_DRAWS = {"top_k": 0, "top_p": 1.0, "min_p": 0.0, "typical_p": 1.0}
PLAIN_DRAWS |= {"epsilon_cutoff": 0.0, "eta_cutoff": 0.0}


def generate(
    loaded: Pretrained,
    prompts: Sequence[str],
    *,
    max_new_tokens: int,
    stop: Sequence[str] = (),
    temperature: float = 0.0,
    seed: int = 0,
    batch_size: int = 16,
) -> list[str]:
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
    tokenizer, model = loaded.tokenizer, unwrapped(loaded.model)
    stop = [stop] if isinstance(stop, str) else list(stop)
    check_decoder(loaded)
    if temperature < 0:
        raise ValueError(f"temperature is {temperature}; give 0 for the likeliest, or more.")
    if not all(stop):
        raise ValueError("A stop string is empty and would end every text before it began.")
    _, rows = encode_prompts(tokenizer, prompts)
    check_room(tokenizer, [], rows, max_new_tokens, "Shorten it, or ask for fewer tokens.")
    draws = PLAIN_DRAWS | {"temperature": temperature} if temperature > 0 else {}
    settings = GenerationConfig(
        max_new_tokens=max_new_tokens, do_sample=temperature > 0, use_cache=True,
        stop_strings=stop or None, pad_token_id=tokenizer.pad_token_id, **PLAIN, **draws,
    )  # fmt: skip

    def write(**batch) -> list[str]:
        ids = model.generate(**batch, generation_config=settings, tokenizer=tokenizer)
        written = ids[:, batch["input_ids"].shape[1] :]
        return tokenizer.batch_decode(written, skip_special_tokens=True)

    prompts = [{"input_ids": row} for row in rows]
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        texts = answer_rows(model, prompts, batch_size, write, "writing", pad_left(tokenizer))
    return [_until(text, stop) for text in texts]


def _until(text: str, stop: list[str]) -> str:
    ends = [place for place in (text.find(s) for s in stop) if place >= 0]
    return text[: min(ends)] if ends else text


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
