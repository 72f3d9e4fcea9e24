"""Teach a decoder a domain, a task and a preference, and judge its answers.

`text_rows` and `chat_rows` make rows for `decoding.LossAtLabels` and `training.fit`; `sft_trainer`
and `dpo_trainer` build TRL's trainers, which `train` runs.
"""

from helpers.instructing.answers import FIELDS, Report, judge, read_names, refuses, report
from helpers.instructing.rows import chat_prompts, chat_rows, preference_pairs, text_rows
from helpers.instructing.trainers import dpo_trainer, sft_trainer, train

__all__ = ["FIELDS", "Report", "chat_prompts", "chat_rows", "dpo_trainer", "judge"]
__all__ += ["preference_pairs", "read_names", "refuses", "report", "sft_trainer", "text_rows"]
__all__ += ["train"]
