"""What a language model makes of a text it only reads: its loss, and which of two it prefers."""

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np

from helpers.pretrained import Pretrained
from helpers.pretrained.parts import body_and_output, check_body_and_output
from helpers.runtime import shows_progress

__all__ = ["document_losses", "document_rows", "prefers_good"]

POSITIONS = 512  # logits of so many places at once: 100 MB with 49,152 words


def document_losses(
    loaded: Pretrained, texts: Sequence[str], max_tokens: int | None = 512, batch_size: int = 8
) -> np.ndarray:
    """Sum the loss of each text, for `perplexity` and the comparisons beside it.

    Texts are read apart from each other, dropout off, with the start token in front, so that the
    first word is predicted too. The tokens are those of the text alone; no end token is predicted.

    Args:
        loaded: what `load_decoder()` gave, tuned or not.
        texts: documents; none may be empty.
        max_tokens: predicted tokens of a text; what follows is not read. None reads all.
        batch_size: texts read at once, of similar length. It changes the time, not the result.

    Returns:
        [summed negative log-likelihood in nats, predicted tokens] of each text, in the order given:
        floats of shape (documents, 2).

    Raises:
        ValueError: if there is no text or one without a token, one is longer than the model reads,
            the tokenizer has no token to begin with, a number makes no sense, or the model is not
            a language model whose parts can be used alone.
    """
    if isinstance(texts, str) or not len(texts):
        raise ValueError(f"The texts are {texts!r}; give a list of at least one text.")
    for name, number in (("max_tokens", max_tokens), ("batch_size", batch_size)):
        if number is not None and number < 1:
            raise ValueError(f"{name} is {number}; give at least 1.")
    rows = document_rows(loaded.tokenizer, list(texts), max_tokens)
    counts = np.array([[0.0, len(row) - 1] for row in rows])
    order = np.argsort([len(row) for row in rows], kind="stable")
    counts[order, 0] = _losses(loaded.model, [rows[i] for i in order], batch_size)
    return counts


def prefers_good(loaded: Pretrained, pairs, batch_size: int = 32) -> np.ndarray:
    """Tell in which pairs the right sentence is the more probable one (Warstadt et al. 2020).

    The log-likelihood is that of the whole sentence, after the same start token, not its mean a
    token: which sentence is the better one is asked, whatever its length.

    Args:
        loaded: what `load_decoder()` gave, tuned or not.
        pairs: a Dataset with the columns `good` and `bad`, as `load_minimal_pairs` gives it, or
            anything else that has them by name.
        batch_size: sentences read at once.

    Returns:
        Booleans (pairs,), for `ledger.pairs_row`. Equal likelihoods do not count as a preference.

    Raises:
        ValueError: as `document_losses`.
    """
    good, bad = list(pairs["good"]), list(pairs["bad"])
    losses = document_losses(loaded, good + bad, None, batch_size)[:, 0]
    return losses[: len(good)] < losses[len(good) :]


def document_rows(tokenizer, texts: list[str], max_tokens: int | None) -> list[list[int]]:
    """Turn texts into tokens behind a start token: lists of 1 + at most `max_tokens` ids.

    Raises:
        ValueError: if a text has no token or is longer than the model reads, or the tokenizer has
            no token to begin with.
    """
    # Without a token in front, the first word would have no prediction. Decoders that have no start
    # token saw the end token of one text before the first word of the next.
    start = tokenizer.bos_token_id
    start = tokenizer.eos_token_id if start is None else start
    if start is None:
        raise ValueError(
            "The tokenizer has neither a start nor an end token to put before a text; set "
            "tokenizer.bos_token."
        )
    encoded = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
    rows = [[start, *ids[:max_tokens]] for ids in encoded]
    for i, row in enumerate(rows):
        if len(row) == 1:
            raise ValueError(f"Text {i} has no token: {texts[i]!r}. Leave it out.")
        if len(row) > tokenizer.model_max_length:
            raise ValueError(
                f"Text {i} has {len(row) - 1:,} tokens after the start token; the model reads "
                f"{tokenizer.model_max_length:,} in all. Pass max_tokens="
                f"{tokenizer.model_max_length - 1} or less."
            )
    return rows


def _losses(model, rows: list[list[int]], batch_size: int) -> np.ndarray:
    """Summed loss of each row after its first token: (rows,)."""
    from tqdm.auto import tqdm

    losses = np.empty(len(rows))
    bar = tqdm(total=len(rows), disable=not shows_progress(), desc="reading", leave=False)
    with bar, _reading(model):
        check_body_and_output(model, rows[0][:8])
        body, head = body_and_output(model)
        for start in range(0, len(rows), batch_size):
            chosen = rows[start : start + batch_size]
            losses[start : start + len(chosen)] = _batch_losses(body, head, chosen)
            bar.update(len(chosen))
    return losses


def _batch_losses(body, head, rows: list[list[int]]) -> np.ndarray:
    """Summed loss of each row after its first token, the rows read together: (B,)."""
    import torch
    from torch.nn.functional import cross_entropy

    from helpers.training import device_of

    # Padded on the right, whatever the tokenizer does: a real token then sees no padding and has
    # the position it has alone. What is real comes from lengths; the padding id may mean the end.
    width, device = max(map(len, rows)), device_of(head)
    ids = torch.tensor([row + row[:1] * (width - len(row)) for row in rows], device=device)
    lengths = torch.tensor([len(row) for row in rows], device=device)
    mask = (torch.arange(width, device=device) < lengths[:, None]).long()  # (B, T)
    states = body(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
    real = mask[:, 1:].bool()  # (B, T - 1): places whose next token is of the text
    states, targets = states[:, :-1][real], ids[:, 1:][real]  # (N, H), (N,)
    parts = zip(states.split(POSITIONS), targets.split(POSITIONS), strict=True)
    nll = torch.cat([cross_entropy(head(s).float(), t, reduction="none") for s, t in parts])
    losses = torch.zeros(real.shape, dtype=nll.dtype, device=device)
    losses[real] = nll
    # Summed on the CPU, since not every accelerator has double precision.
    return losses.cpu().double().sum(dim=1).numpy()


@contextlib.contextmanager
def _reading(model) -> Iterator[None]:
    """Switch dropout and gradients off for a while."""
    import torch

    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(was_training)
