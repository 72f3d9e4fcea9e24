"""The loss of a language model on given text, computed only where there is a label.

With 49,152 words the output layer costs about as much as the body. Where nine tokens in ten belong
to the question, most of that work would be wasted.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from helpers.decoding.answers import answer_rows
from helpers.networks import IGNORED
from helpers.pretrained import Pretrained, body_and_output, check_body_and_output

__all__ = ["LossAtLabels", "answer_losses", "document_losses", "document_rows"]
__all__ += ["prefers_good", "token_losses"]

POSITIONS = 512  # logits computed at once: 100 MB with 49,152 words


def token_losses(model, input_ids, attention_mask, labels) -> torch.Tensor:
    """Return the loss of each label, row by row: (N,); arguments as for `LossAtLabels.forward`."""
    body, head = body_and_output(model)
    states = body(
        input_ids=input_ids, attention_mask=attention_mask, use_cache=False
    ).last_hidden_state  # (B, T, H)
    targets = labels[:, 1:]  # a label is predicted by the state one place before
    counts = targets != IGNORED  # (B, T - 1)
    states, targets = states[:, :-1][counts], targets[counts]  # (N, H), (N,)
    parts = zip(states.split(POSITIONS), targets.split(POSITIONS), strict=True)
    return torch.cat([F.cross_entropy(head(s).float(), t, reduction="none") for s, t in parts])


class LossAtLabels(nn.Module):
    """Wrap a decoder for `training.fit`: transformers' loss, computed only at the labels.

    The model is shared, not copied: training this trains it, or its adapter.

    Raises:
        ValueError: if the model predicts no words, or changes its logits after the last layer.
    """

    def __init__(self, model):
        super().__init__()
        self.model = model
        check_body_and_output(model)

    def forward(self, input_ids, attention_mask=None, labels=None) -> dict:
        """Return the mean loss over labels (B, T); -100 marks tokens without one."""
        losses = token_losses(self.model, input_ids, attention_mask, labels)
        # A batch without a label has the loss 0, not 0 / 0.
        return {"loss": losses.sum() / max(1, len(losses))}


def answer_losses(loaded: Pretrained, rows, batch_size: int = 8) -> np.ndarray:
    """Sum the loss over the labels of each row: the negative log-likelihood of its answer.

    `rows` are those of `chat_rows` or `text_rows`. `batch_size` does not change the result.

    Returns:
        Floats (rows, 2), in the order given: [summed loss in nats, number of labels].

    Raises:
        ValueError: if the model predicts no words, or changes its logits after the last layer.
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
    """Sum the loss of each text, for `perplexity` and paired comparisons.

    Each text is read alone, without dropout, after a start token, so that its first word is
    predicted too. No end token is predicted. Of a longer text, the first `max_tokens` are read;
    None reads all.

    Returns:
        Floats (documents, 2), in the order given: [summed negative log-likelihood in nats, number
        of predicted tokens].

    Raises:
        ValueError: as for `document_rows` and `answer_losses`.
    """
    rows = document_rows(loaded.tokenizer, texts, max_tokens)
    labelled = [{"input_ids": row, "labels": [IGNORED, *row[1:]]} for row in rows]
    return answer_losses(loaded, labelled, batch_size)


def document_rows(tokenizer, texts: Sequence[str], max_tokens: int | None) -> list[list[int]]:
    """Turn texts into lists of a start token and at most `max_tokens` further ids.

    Raises:
        ValueError: if there is no text or one without a token, one is longer than the model reads,
            or the tokenizer has neither a start nor an end token.
    """
    if isinstance(texts, str) or not len(texts):
        raise ValueError(f"The texts are {texts!r}; give a list of at least one text.")
    # Without a token in front, the first word would have no prediction. Decoders without a start
    # token were trained with the previous text's end token there.
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
    """Tell in which pairs the model finds the right sentence more probable (Warstadt et al. 2020).

    Log-likelihoods are those of whole sentences, not means per token. `pairs` has the columns
    `good` and `bad`, as in `load_minimal_pairs`.

    Returns:
        Booleans (pairs,), for `ledger.pairs_row`; False for equal likelihoods.
    """
    good, bad = list(pairs["good"]), list(pairs["bad"])
    losses = document_losses(loaded, good + bad, None, batch_size)[:, 0]
    return losses[: len(good)] < losses[len(good) :]
