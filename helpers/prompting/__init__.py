"""Use a decoder without training it: ask by likelihood, show examples, let it write.

`Prompt` is a question with a gap and its label words; `few_shot_prompt` puts examples before it.
`label_scores` compares the labels by their likelihood, `generate` and `parse_label` read an answer
out of written text. `head_from_words` makes of a prompt the start of a fine-tuning.
"""

from helpers.prompting.generation import generate, parse_label
from helpers.prompting.scoring import label_scores
from helpers.prompting.templates import FewShot, Prompt, few_shot_prompt
from helpers.prompting.tuning import head_from_words, prompt_rows

__all__ = [
    "FewShot",
    "Prompt",
    "few_shot_prompt",
    "generate",
    "head_from_words",
    "label_scores",
    "parse_label",
    "prompt_rows",
]
