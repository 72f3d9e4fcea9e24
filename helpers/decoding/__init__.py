"""Use a decoder without training it: ask by likelihood, show examples, let it write.

`Prompt` is a question with a gap and its label words; `few_shot_prompt` puts examples before it.
`label_scores` compares the labels by their likelihood, `generate` and `parse_label` read an answer
out of written text. `document_losses` and `answer_losses` say how much a text surprises the model,
and `LossAtLabels` trains on that loss. `head_from_words` makes of a prompt the start of a
fine-tuning.
"""

from helpers.decoding.generation import generate, parse_label
from helpers.decoding.losses import (
    LossAtLabels,
    answer_losses,
    document_losses,
    document_rows,
    prefers_good,
    token_losses,
)
from helpers.decoding.prompts import FewShot, Prompt, few_shot_prompt, head_from_words, prompt_rows
from helpers.decoding.scores import label_scores

__all__ = ["FewShot", "LossAtLabels", "Prompt", "answer_losses", "document_losses"]
__all__ += ["document_rows", "few_shot_prompt", "generate", "head_from_words", "label_scores"]
__all__ += ["parse_label", "prefers_good", "prompt_rows", "token_losses"]
