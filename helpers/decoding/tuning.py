"""From asking to fine-tuning: a classifier that begins where zero-shot ends."""

from collections.abc import Sequence

from helpers.decoding.templates import Prompt
from helpers.decoding.tokens import check_room, encode_prompts, encode_words, needs_no_space
from helpers.pretrained import Pretrained, body_of

__all__ = ["head_from_words", "prompt_rows"]


def prompt_rows(loaded: Pretrained, prompts: Sequence[str], labels: Sequence[int] | None = None):
    """Turn filled prompts into the rows that `training.fit` and `predict` take.

    The tokens are those that `label_scores` reads. No prompt is cut: its end is the question.

    Args:
        loaded: of `load_decoder("classification")`.
        prompts: texts that end where the answer begins.
        labels: number of each answer; None without labels.

    Returns:
        A Dataset with `input_ids`, and `labels` if there are any.

    Raises:
        ValueError: if a prompt is empty, or longer than the model reads.
    """
    from datasets import Dataset

    _, ids = encode_prompts(loaded.tokenizer, prompts)
    check_room(loaded.tokenizer, [], ids, 0, "Shorten its text.")
    return Dataset.from_dict({"input_ids": ids} | ({} if labels is None else {"labels": labels}))


def head_from_words(loaded: Pretrained, prompt: Prompt) -> None:
    """Give a classifier's head the vectors of a prompt's label words, in place.

    A language model that predicts with its word vectors scores the next word by the product of the
    word's vector and the last state. With these vectors as its weights, a head on the last token
    gives the labels the same scores: before any training, the classifier answers a filled prompt
    as zero-shot does. Fine-tuning goes on from there (with prompts, Gao et al. 2021).

    Args:
        loaded: of `load_decoder("classification")`, with as many labels as the prompt.
        prompt: the usual word of each label, the first one, is taken.

    Raises:
        ValueError: if the model predicts with other vectors than it reads, the number of labels
            differs, or a word is more than one token.
    """
    import torch

    model = loaded.model
    if not model.config.tie_word_embeddings:
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
