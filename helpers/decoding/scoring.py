"""Ask by likelihood: how probable is each label's word as what follows a prompt?

No text is generated and nothing is parsed. A prompt is read once, whatever the number of labels,
and logits are computed only where a label's token is predicted.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

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

__all__ = ["label_scores"]

NORMALISE = ("none", "tokens")


def label_scores(
    loaded: Pretrained, prompts: Sequence[str],
    labels: Sequence[str] | Mapping[str, str | Sequence[str]], *, normalise: str = "none",
    calibrate: Sequence[str] | None = None, prefix: str | None = None, batch_size: int = 16,
    echo: Callable[[str], object] | None = None,
) -> np.ndarray:  # fmt: skip
    """Score each label of each prompt by the log-likelihood of its word as the continuation.

    A word of several tokens is scored over all of them, each given those before it. Of a label
    with several words the probabilities are added up. Prompt and word become tokens apart from
    each other: spaces at the end of the prompt are taken off and the word gets one in front,
    except after a line break. White space between prefix and prompt goes where it leaves the
    tokens of the joined text; see `helpers.decoding.tokens`.

    Args:
        loaded: what `load_decoder()` gave.
        prompts: texts that end where the answer begins.
        labels: words, or label -> its word or words.
        normalise: `"none"`, or `"tokens"` for the mean over a word's tokens, so that a long word
            is not punished for its length.
        calibrate: the same prompt filled with texts that say nothing, such as "N/A", "[MASK]" and
            "" (Zhao et al. 2021): probabilities are divided by those the labels have there, their
            mean over these prompts. What remains is a comparison, no longer a likelihood.
        prefix: the beginning that all prompts share, such as worked examples. It is read once; its
            keys and values serve every batch.
        batch_size: prompts at once, of similar length.
        echo: told in one line how much was read; None for silence.

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
    asked = [*prompts, *neutral] if not isinstance(prompts, str) else prompts
    shared, rows = encode_prompts(tokenizer, asked, prefix)
    scores = np.empty((len(rows), len(words)))
    for bare in (False, True):
        group = [i for i, prompt in enumerate(asked) if needs_no_space(prompt) == bare]
        if group:
            encoded = encode_words(tokenizer, words, bare)
            part = [rows[i] for i in group]
            found = _score(loaded, shared, part, encoded, normalise, batch_size)
            scores[group] = _by_label(found, encoded, list(words))
    if echo:
        echo(_said(rows, shared, batch_size))
    return _calibrated(scores, len(neutral)) if neutral else scores


def _score(loaded, shared, rows, encoded, normalise, batch_size) -> np.ndarray:
    """Score every word after every prompt: (prompts, words)."""
    from tqdm.auto import tqdm

    from helpers.decoding.reading import Reader

    words = [ids for _, ids in encoded]
    check_room(
        loaded.tokenizer, shared, rows, max(map(len, words)),
        "Shorten its text, or give fewer or shorter examples.",
    )  # fmt: skip
    scores = np.empty((len(rows), len(words)))
    order = np.argsort([len(row) for row in rows], kind="stable")
    bar = tqdm(total=len(rows), disable=not shows_progress(), desc="scoring", leave=False)
    with bar, Reader(loaded.model, shared, loaded.pad_id) as reader:
        for start in range(0, len(rows), batch_size):
            chosen = order[start : start + batch_size]
            scores[chosen] = reader.score([rows[i] for i in chosen], words)
            bar.update(len(chosen))
    if normalise == "tokens":
        scores /= [len(ids) for ids in words]
    return scores


def _by_label(scores: np.ndarray, encoded, names: list[str]) -> np.ndarray:
    """Add up the probabilities of each label's words: (prompts, words) -> (prompts, labels)."""
    columns = [[j for j, (label, _) in enumerate(encoded) if label == name] for name in names]
    summed = [np.logaddexp.reduce(scores[:, chosen], axis=1) for chosen in columns]
    return np.stack(summed, axis=1)


def _calibrated(scores: np.ndarray, neutral: int) -> np.ndarray:
    """Divide by the labels' shares after the last prompts, which say nothing."""
    empty = scores[-neutral:]
    shares = np.exp(empty - np.logaddexp.reduce(empty, axis=1, keepdims=True))
    return scores[:-neutral] - np.log(shares.mean(axis=0))


def _said(rows, shared, batch_size) -> str:
    mean = sum(map(len, rows)) / len(rows)
    once = f" The {len(shared):,} tokens they share were read once." if shared else ""
    return f"{len(rows):,} prompts of {mean:.0f} tokens on average, {batch_size} at a time.{once}"
