"""Let a decoder write an answer, and find a label in what it wrote."""

import re
from collections.abc import Sequence

import torch
from transformers import GenerationConfig

from helpers.decoding.scores import answer_rows, pad_left
from helpers.decoding.tokens import check_decoder, check_room, encode_prompts, label_words
from helpers.pretrained import Pretrained, unwrapped

__all__ = ["generate", "parse_label"]

# Settings left out here would be those that the checkpoint recommends.
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
    """Let the model continue each prompt; returns the continuations alone, without end token.

    The model's own distribution is used: settings that a checkpoint recommends (top-p, repetition
    penalty) are ignored. With temperature 0, batching does not change the texts.

    Args:
        prompts: spaces at their end are removed.
        stop: strings that end a text, such as a line break; they are not part of it.
        temperature: 0 for the most probable token, 1 to sample from the model's distribution; below
            1 sharpens it.
        seed: for sampling, which also depends on `batch_size`. Global generators stay unchanged.

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
    """Find the label that an answer names, or None.

    The first word counts, in any case; at one place the longer word wins. Parts of words do not
    count: "unable" does not contain "able". `labels` are as for `label_scores`.
    """
    found = []
    for label, words in label_words(labels).items():
        for word in words:
            match = re.search(rf"(?<!\w){re.escape(word.strip())}(?!\w)", text, re.IGNORECASE)
            if match:
                found.append((match.start(), -len(word), label))
    return min(found)[2] if found else None
