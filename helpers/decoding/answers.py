"""A decoder's answers: the likelihood of each label's word after a prompt, or what it writes.

For likelihoods nothing is generated or parsed. A prompt is read once for all labels, and logits are
computed only where a label's token is predicted.
"""

import copy
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm
from transformers import DynamicCache, GenerationConfig

from helpers.decoding.prompts import (
    Prompt,
    check_room,
    encode_prompts,
    encode_words,
    label_words,
    needs_no_space,
)
from helpers.pretrained import Pretrained, body_of, unwrapped
from helpers.runtime import shows_progress
from helpers.training import batches_by_length, device_of, pad_batch

__all__ = ["answer_rows", "generate", "head_from_words", "label_scores", "parse_label"]


def check_decoder(loaded) -> None:
    """Refuse a tokenizer that cannot pad, and a model that cannot read from a cache."""
    if loaded.tokenizer.pad_token_id is None:
        raise ValueError(
            "The tokenizer has no padding token, so prompts cannot share a batch. Load it with "
            "load_decoder, or set tokenizer.pad_token = tokenizer.eos_token."
        )
    model = unwrapped(loaded.model)
    taken = inspect.signature(model.forward).parameters
    lacking = {"position_ids", "past_key_values", "logits_to_keep"} - set(taken)
    if lacking:
        raise ValueError(
            f"A {type(model).__name__} takes no {' and no '.join(sorted(lacking))}, so it "
            'cannot be asked. Load a language model with load_decoder("lm"): GPT-2, Llama, Qwen.'
        )


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


def label_scores(
    loaded: Pretrained,
    prompts: Sequence[str],
    labels: Sequence[str] | Mapping[str, str | Sequence[str]],
    *,
    normalise: str = "none",
    calibrate: Sequence[str] | None = None,
    prefix: str | None = None,
    batch_size: int = 16,
) -> np.ndarray:
    """Score each label of each prompt by the log-likelihood of its word as the continuation.

    A word of several tokens is scored over all of them; the probabilities of a label's several
    words are added up. `helpers.decoding.prompts` explains the white space between prefix, prompt
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

    Returns:
        Natural logarithms (prompts, labels), in the order given; `argmax(axis=1)` chooses.

    Raises:
        ValueError: if a prompt does not fit into the model's context, a prompt or a word is empty,
            two words are the same tokens, the tokenizer cannot pad, or the model predicts no words.
    """
    if normalise not in ("none", "tokens"):
        raise ValueError(f"normalise is {normalise!r}; choose none or tokens.")
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
            for column, name in enumerate(words):
                own = [label == name for label, _ in encoded]
                scores[group, column] = np.logaddexp.reduce(found[:, own], axis=1)
    if not neutral:
        return scores
    empty = scores[-len(neutral) :]
    shares = np.exp(empty - np.logaddexp.reduce(empty, axis=1, keepdims=True))
    return scores[: -len(neutral)] - np.log(shares.mean(axis=0))


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
            input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache,
            use_cache=cache is not None, logits_to_keep=keep,
        )  # fmt: skip
        return output.logits.float().log_softmax(dim=-1)


def head_from_words(loaded: Pretrained, prompt: Prompt) -> None:
    """Set a classifier's head to the vectors of a prompt's usual label words, in place.

    A language model with tied word vectors scores the next word by the product of the word's vector
    and the last state. A head with these vectors therefore starts with the answers of zero-shot,
    and fine-tuning continues from there (with prompts, Gao et al. 2021).

    Raises:
        ValueError: if the model does not predict with its input vectors, the number of labels
            differs, or a word is more than one token.
    """
    model = loaded.model
    if not body_of(model).config.tie_word_embeddings:
        raise ValueError(
            f"{loaded.name} predicts words with other vectors than it reads them with, and a "
            "classifier has only the latter. Leave its head as it is."
        )
    if len(prompt.words) != model.num_labels:
        raise ValueError(
            f"The prompt {prompt.name!r} has {len(prompt.words)} labels and the model "
            f"{model.num_labels}; load it with label_names={list(prompt.words)}."
        )
    usual = {label: words[:1] for label, words in prompt.words.items()}
    encoded = encode_words(loaded.tokenizer, usual, needs_no_space(prompt.text))
    long = [usual[label][0] for label, ids in encoded if len(ids) > 1]
    if long:
        raise ValueError(f"{long[0]!r} is more than one token of {loaded.name}; give a short word.")
    vectors = body_of(model).get_input_embeddings().weight
    with torch.no_grad():
        model.head.weight.copy_(vectors[[ids[0] for _, ids in encoded]])
        model.head.bias.zero_()


# Settings left out here would be those that the checkpoint recommends.
PLAIN = {"num_beams": 1, "repetition_penalty": 1.0, "no_repeat_ngram_size": 0, "min_length": 0}
PLAIN_DRAWS = {"top_k": 0, "top_p": 1.0, "min_p": 0.0, "typical_p": 1.0}
PLAIN_DRAWS |= {"epsilon_cutoff": 0.0, "eta_cutoff": 0.0}


def generate(
    loaded: Pretrained,
    prompts: Sequence[str],
    *,
    max_new_tokens: int,
    temperature: float = 0.0,
    seed: int = 0,
    batch_size: int = 16,
) -> list[str]:
    """Let the model continue each prompt; returns the continuations alone, without end token.

    The model's own distribution is used: settings that a checkpoint recommends (top-p, repetition
    penalty) are ignored. With temperature 0, batching does not change the texts.

    Args:
        prompts: spaces at their end are removed.
        temperature: 0 for the most probable token, 1 to sample from the model's distribution; below
            1 sharpens it.
        seed: for sampling, which also depends on `batch_size`. Global generators stay unchanged.

    Raises:
        ValueError: if a prompt and its answer do not fit into the model's context, or a setting
            makes no sense.
    """
    tokenizer, model = loaded.tokenizer, unwrapped(loaded.model)
    check_decoder(loaded)
    if temperature < 0:
        raise ValueError(f"temperature is {temperature}; give 0 for the likeliest, or more.")
    _, rows = encode_prompts(tokenizer, prompts)
    check_room(tokenizer, [], rows, max_new_tokens, "Shorten it, or ask for fewer tokens.")
    draws = PLAIN_DRAWS | {"temperature": temperature} if temperature > 0 else {}
    settings = GenerationConfig(
        max_new_tokens=max_new_tokens, do_sample=temperature > 0, use_cache=True,
        pad_token_id=tokenizer.pad_token_id, **PLAIN, **draws,
    )  # fmt: skip

    def write(**batch) -> list[str]:
        ids = model.generate(**batch, generation_config=settings)
        written = ids[:, batch["input_ids"].shape[1] :]
        return tokenizer.batch_decode(written, skip_special_tokens=True)

    prompts = [{"input_ids": row} for row in rows]
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        return answer_rows(model, prompts, batch_size, write, "writing", pad_left(tokenizer))


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
