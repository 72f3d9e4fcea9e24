"""Use a decoder without training it: ask by likelihood, show examples, let it write.

`Prompt` is a question with a gap and its label words; `few_shot_prompt` puts examples before it.
`label_scores` compares the labels by their likelihood, `generate` and `parse_label` read an answer
out of written text.
"""

from helpers.prompting.generation import generate, parse_label
from helpers.prompting.scoring import label_scores
from helpers.prompting.templates import FewShot, Prompt, few_shot_prompt

__all__ = ["FewShot", "Prompt", "few_shot_prompt", "generate", "label_scores", "parse_label"]
