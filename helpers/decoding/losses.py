"""What a language model makes of a text it only reads: its loss, computed where there is a label.

With 49,152 words the last layer costs as much as a good part of the body. Where nine tokens of ten
are question, most of that would be thrown away.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from helpers.decoding.scores import answer_rows
from helpers.networks import IGNORED
from helpers.pretrained import Pretrained, body_and_output, check_body_and_output

__all__ = ["LossAtLabels", "answer_losses", "document_losses", "document_rows"]
__all__ += ["prefers_good", "token_losses"]

POSITIONS = 512  # logits of so many places at once: 100 MB with 49,152 words


def token_losses(model, input_ids, attention_mask, labels) -> torch.Tensor:
    """Give the loss of each label, row by row: (N,); the arguments are those of `LossAtLabels`."""
    body, head = body_and_output(model)
    states = body(
        input_ids=input_ids, attention_mask=attention_mask, use_cache=False
    ).last_hidden_state  # (B, T, H)
    targets = labels[:, 1:]  # a label is judged by the state one place before
    counts = targets != IGNORED  # (B, T - 1)
    states, targets = states[:, :-1][counts], targets[counts]  # (N, H), (N,)
    parts = zip(states.split(POSITIONS), targets.split(POSITIONS), strict=True)
    return torch.cat([F.cross_entropy(head(s).float(), t, reduction="none") for s, t in parts])


class LossAtLabels(nn.Module):
    """Wrap a decoder for `training.fit`: the loss of transformers, computed where it counts.

    Args:
        model: a causal language model of transformers, with an adapter or without. It is shared,
            not copied: what is trained here is trained there.

    Raises:
        ValueError: if the model predicts no words, or bends its logits after the last layer.
    """

    def __init__(self, model):
        super().__init__()
        self.model = model
        check_body_and_output(model)

    def forward(self, input_ids, attention_mask=None, labels=None) -> dict:
        """Give the mean loss over all labels; tokens (B, T), labels (B, T) with -100 elsewhere."""
        losses = token_losses(self.model, input_ids, attention_mask, labels)
        # A batch without a label has the loss 0, not 0 / 0.
        return {"loss": losses.sum() / max(1, len(losses))}


def answer_losses(loaded: Pretrained, rows, batch_size: int = 8) -> np.ndarray:
    """Sum the loss over the labels of each row: minus the log-likelihood of its answer.

    Args:
        loaded: what `load_decoder()` gave, tuned or not.
        rows: of `chat_rows` or `text_rows`.
        batch_size: rows read at once, of similar length. It changes the time, not the result.

    Returns:
        [summed loss in nats, labels] of each row, in the order given: floats (rows, 2).

    Raises:
        ValueError: if the model is not a language model whose parts can be used alone.
    """
    model = loaded.model
    check_body_and_output(model)

    def sums(input_ids, attention_mask, labels):
        # Summed on the CPU, since not every accelerator has double precision.
        losses = token_losses(model, input_ids, attention_mask, labels).cpu().double()
        owners = (labels[:, 1:] != IGNORED).nonzero()[:, 0].cpu()
        counts = torch.bincount(owners, minlength=len(labels))
        return zip(torch.bincount(owners, losses, len(labels)), counts, strict=True)

    return np.array(answer_rows(model, rows, batch_size, sums, "reading"), dtype=float)


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
        batch_size: as for `answer_losses`.

    Returns:
        [summed negative log-likelihood in nats, predicted tokens] of each text, in the order given:
        floats of shape (documents, 2).

    Raises:
        ValueError: as `document_rows` and `answer_losses`.
    """
    rows = document_rows(loaded.tokenizer, texts, max_tokens)
    labelled = [{"input_ids": row, "labels": [IGNORED, *row[1:]]} for row in rows]
    return answer_losses(loaded, labelled, batch_size)


def document_rows(tokenizer, texts: Sequence[str], max_tokens: int | None) -> list[list[int]]:
    """Turn texts into tokens behind a start token: lists of 1 + at most `max_tokens` ids.

    Raises:
        ValueError: if there is no text or one without a token, one is longer than the model reads,
            or the tokenizer has no token to begin with.
    """
    if isinstance(texts, str) or not len(texts):
        raise ValueError(f"The texts are {texts!r}; give a list of at least one text.")
    # Without a token in front, the first word would have no prediction. Decoders that have no start
    # token saw the end token of one text before the first word of the next.
    start = tokenizer.bos_token_id
    start = tokenizer.eos_token_id if start is None else start
    if start is None:
        raise ValueError(
            "The tokenizer has neither a start nor an end token to put before a text; set "
            "tokenizer.bos_token."
        )
    encoded = tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
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
    """
    good, bad = list(pairs["good"]), list(pairs["bad"])
    losses = document_losses(loaded, good + bad, None, batch_size)[:, 0]
    return losses[: len(good)] < losses[len(good) :]
