"""Use a decoder without training it: ask by likelihood, show examples, let it write.

`Prompt` is a question with a gap and its label words; `few_shot_prompt` puts examples before it.
`label_scores` compares the labels by their likelihood, `generate` and `parse_label` read an answer
out of written text. `head_from_words` makes of a prompt the start of a fine-tuning.
"""

from helpers.decoding.generation import generate, parse_label
from helpers.decoding.language import document_losses, document_rows, prefers_good
from helpers.decoding.positions import LossAtLabels, answer_losses, token_losses
from helpers.decoding.scoring import label_scores
from helpers.decoding.templates import FewShot, Prompt, few_shot_prompt
from helpers.decoding.tuning import head_from_words, prompt_rows

__all__ = [
    "FewShot",
    "LossAtLabels",
    "Prompt",
    "answer_losses",
    "document_losses",
    "document_rows",
    "few_shot_prompt",
    "generate",
    "head_from_words",
    "label_scores",
    "parse_label",
    "prefers_good",
    "prompt_rows",
    "token_losses",
]
