"""Teach a decoder a domain, a job and a preference, and judge what it then answers.

`text_rows` and `chat_rows` turn texts and conversations into rows that know where the loss counts,
and `decoding.LossAtLabels` computes it there and nowhere else, for `training.fit`. `sft_trainer`
and `dpo_trainer` build TRL's trainers, and `train` runs one. `judge` scores an answer of the film
assistant.
"""

from helpers.instructing.answers import FIELDS, Report, judge, read_names, refuses, report
from helpers.instructing.rows import chat_prompts, chat_rows, preference_pairs, text_rows
from helpers.instructing.trainers import dpo_trainer, sft_trainer, train

__all__ = ["FIELDS", "Report", "chat_prompts", "chat_rows", "dpo_trainer", "judge"]
__all__ += ["preference_pairs", "read_names", "refuses", "report", "sft_trainer", "text_rows"]
__all__ += ["train"]
