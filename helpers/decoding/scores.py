"""Zero-shot by likelihood: how probable is each label's word after a prompt?

Nothing is generated or parsed. A prompt is read once for all labels, and logits are computed only
where a label's token is predicted.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm
from transformers import DynamicCache

from helpers.decoding.tokens import (
    check_decoder,
    check_room,
    encode_prompts,
    encode_words,
    label_words,
    needs_no_space,
)
from helpers.pretrained import Pretrained
from helpers.runtime import shows_progress
from helpers.training import batches_by_length, device_of, pad_batch

__all__ = ["answer_rows", "label_scores", "pad_left"]


def answer_rows(
    model, rows, batch_size: int, answer: Callable[..., Sequence], doing: str, collate=pad_batch
) -> list[Any]:
    """Compute an answer to each row, without dropout and gradients, in the order given.

    `answer` takes a batch's tensors by name and returns one answer per row; `doing` labels the bar.
    The rest is as for `batches_by_length`.
    """
    found: list[Any] = [None] * len(rows)
    bar = tqdm(total=len(rows), disable=not shows_progress(), desc=doing, leave=False)
    with bar, batches_by_length(model, rows, batch_size, collate) as batches:
        for indices, batch in batches:
            for i, value in zip(indices, answer(**batch), strict=True):
                found[i] = value
            bar.update(len(indices))
    return found


def pad_left(tokenizer) -> Callable:
    """Return a `collate` that pads on the left, so that all answers begin at the last position."""
    return lambda rows: tokenizer.pad(rows, padding_side="left", return_tensors="pt", verbose=False)


NORMALISE = ("none", "tokens")


def label_scores(
    loaded: Pretrained,
    prompts: Sequence[str],
    labels: Sequence[str] | Mapping[str, str | Sequence[str]],
    *,
    normalise: str = "none",
    calibrate: Sequence[str] | None = None,
    prefix: str | None = None,
    batch_size: int = 16,
    echo: Callable[[str], object] | None = None,
) -> np.ndarray:
    """Score each label of each prompt by the log-likelihood of its word as the continuation.

    A word of several tokens is scored over all of them; the probabilities of a label's several
    words are added up. `helpers.decoding.tokens` explains the white space between prefix, prompt
    and word.

    Args:
        prompts: texts that end where the answer begins.
        labels: words, or label -> its word or words.
        normalise: `"none"`, or `"tokens"` for the mean over a word's tokens, which does not favour
            short words.
        calibrate: the same prompt filled with neutral texts, such as "N/A", "[MASK]" and "":
            probabilities are divided by the labels' mean ones there (Zhao et al. 2021). The result
            is no longer a likelihood.
        prefix: the beginning that all prompts share, such as worked examples; it is read once.
        echo: receives one line about how much was read.

    Returns:
        Natural logarithms (prompts, labels), in the order given; `argmax(axis=1)` chooses.

    Raises:
        ValueError: if a prompt does not fit into the model's context, a prompt or a word is empty,
            two words are the same tokens, the tokenizer cannot pad, the model predicts no words,
            or `normalise` is unknown.
    """
    if normalise not in NORMALISE:
        raise ValueError(f"normalise is {normalise!r}; choose {' or '.join(NORMALISE)}.")
    words, tokenizer = label_words(labels), loaded.tokenizer
    check_decoder(loaded)
    neutral = [] if calibrate is None else list(calibrate)
    if calibrate is not None and not neutral:
        raise ValueError('calibrate is empty; give the prompt filled with "N/A", for example.')
    asked = prompts if isinstance(prompts, str) else [*prompts, *neutral]
    shared, rows = encode_prompts(tokenizer, asked, prefix)
    scores = np.empty((len(rows), len(words)))
    for bare in (False, True):
        group = [i for i, prompt in enumerate(asked) if needs_no_space(prompt) == bare]
        if group:
            encoded = encode_words(tokenizer, words, bare)
            found = _word_scores(
                loaded, shared, [rows[i] for i in group], [ids for _, ids in encoded], batch_size
            )
            if normalise == "tokens":
                found /= [len(ids) for _, ids in encoded]
            scores[group] = _by_label(found, encoded, list(words))
    if echo:
        mean = sum(map(len, rows)) / len(rows)
        once = f" The {len(shared):,} tokens they share were read once." if shared else ""
        echo(
            f"{len(rows):,} prompts of {mean:.0f} tokens on average, {batch_size} at a time.{once}"
        )
    return _calibrated(scores, len(neutral)) if neutral else scores


def _word_scores(
    loaded: Pretrained, prefix: list[int], rows: list, words: list[list[int]], batch_size: int
) -> np.ndarray:
    """Log-likelihood of every word after every prompt: (prompts, words)."""
    remedy = "Shorten its text, or give fewer or shorter examples."
    check_room(loaded.tokenizer, prefix, rows, max(map(len, words)), remedy)
    scorer, collate = _Scorer(loaded.model, prefix, words), pad_left(loaded.tokenizer)
    prompts = [{"input_ids": row} for row in rows]
    found = answer_rows(loaded.model, prompts, batch_size, scorer.score, "scoring", collate)
    return np.stack(found)


class _Scorer:
    """Score words after prompts padded on the left, so that one position's logits are enough."""

    def __init__(self, model, prefix: list[int], words: list[list[int]]):
        self.model, self.prefix, self.words = model, prefix, words

    @cached_property
    def past(self) -> DynamicCache:
        """Keys and values of the prefix, for a batch of one."""
        cache = DynamicCache()
        if self.prefix:
            ids = torch.tensor([self.prefix], device=device_of(self.model))
            self.model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        return cache

    def score(self, input_ids, attention_mask) -> np.ndarray:
        """Log-likelihood of each word after each prompt: (B, words)."""
        size, cache = len(input_ids), None
        if self.prefix or max(map(len, self.words)) > 1:
            cache = copy.deepcopy(self.past)
            cache.batch_repeat_interleave(size)
        before = attention_mask.new_ones(size, len(self.prefix))
        mask = torch.cat([before, attention_mask], dim=1)  # (B, P + T)
        first = self._logits(input_ids, mask, cache, 1)[:, 0]  # (B, V)
        scores = first[:, [word[0] for word in self.words]]  # (B, words)
        for j, word in enumerate(self.words):
            if len(word) > 1:
                scores[:, j] += self._rest(word, mask, cache)
        return scores.cpu().double().numpy()

    def _rest(self, word: list[int], mask, cache):
        """Log-likelihood of a word's tokens after its first, in one further step: (B,)."""
        size = len(word) - 1
        ids = torch.tensor(word, device=mask.device).expand(len(mask), -1)  # (B, size + 1)
        seen = torch.cat([mask, mask.new_ones(len(mask), size)], dim=1)
        logits = self._logits(ids[:, :-1], seen, cache, size)  # (B, size, V)
        cache.crop(-size)  # the next word follows the prompt, not this word
        return logits.gather(2, ids[:, 1:, None]).sum(dim=(1, 2))

    def _logits(self, ids, mask, cache, keep: int):
        """Log-probabilities of the next token at the last `keep` places: (B, keep, V)."""
        # Counted from the first real token, since learned positions would see the padding.
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        output = self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=cache is not None,
            logits_to_keep=keep,
        )
        return output.logits.float().log_softmax(dim=-1)


def _by_label(scores: np.ndarray, encoded, names: list[str]) -> np.ndarray:
    """Add up the probabilities of each label's words: (prompts, words) -> (prompts, labels)."""
    columns = [[j for j, (label, _) in enumerate(encoded) if label == name] for name in names]
    summed = [np.logaddexp.reduce(scores[:, chosen], axis=1) for chosen in columns]
    return np.stack(summed, axis=1)


def _calibrated(scores: np.ndarray, neutral: int) -> np.ndarray:
    """Divide by the labels' shares after the last prompts, the neutral ones."""
    empty = scores[-neutral:]
    shares = np.exp(empty - np.logaddexp.reduce(empty, axis=1, keepdims=True))
    return scores[:-neutral] - np.log(shares.mean(axis=0))
