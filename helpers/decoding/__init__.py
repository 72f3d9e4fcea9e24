"""Use a decoder without training it, and prepare its training.

`label_scores` compares labels by their likelihood, `generate` and `parse_label` read an answer from
written text, `document_losses` and `answer_losses` sum the loss of given text.
"""

from helpers.decoding.answers import generate, head_from_words, label_scores, parse_label
from helpers.decoding.losses import (
    LossAtLabels,
    answer_losses,
    document_losses,
    document_rows,
    prefers_good,
    token_losses,
)
from helpers.decoding.prompts import FewShot, Prompt, few_shot_prompt, prompt_rows

__all__ = ["FewShot", "LossAtLabels", "Prompt", "answer_losses", "document_losses"]
__all__ += ["document_rows", "few_shot_prompt", "generate", "head_from_words", "label_scores"]
__all__ += ["parse_label", "prefers_good", "prompt_rows", "token_losses"]
