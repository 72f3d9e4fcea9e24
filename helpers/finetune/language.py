"""A decoder that goes on reading: your prose, or answers in your tone, through a LoRA adapter."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from helpers import decoding, evaluation, pretrained, training
from helpers.adapters import add_adapter, load_adapter, save_adapter
from helpers.decoding import generate
from helpers.finetune.classifiers import best_device, fit_rows
from helpers.finetune.parallel import gathered, my_share
from helpers.networks import IGNORED
from helpers.runtime import Profile

__all__ = ["ChatModel", "ProseModel"]

BATCH = 4  # rows at once in an evaluation; logits over all words are large
TEMPLATE = "chat_template.jinja"  # where tokenizers save it
PLAIN = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}{{ eos_token }}\n"
    "{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}"
)  # of a decoder that was never taught to chat


@dataclass
class ProseModel:
    """A language model with an adapter, to be read on to running text.

    Attributes:
        loaded: the decoder, its adapter on.
        max_length: tokens in a row.
        notes: what the last call of `rows` left out.
    """

    loaded: pretrained.Pretrained
    max_length: int
    notes: list[str] = field(default_factory=list)

    @classmethod
    def start(cls, names, settings: dict, profile: Profile, seed: int, base=None):
        """Load the base with an adapter that does nothing yet; `names` are not used."""
        loaded = pretrained.load_decoder(profile=profile, source=base, seed=seed, echo=None)
        adapted = add_adapter(loaded, rank=settings["rank"], alpha=settings["alpha"], seed=seed)
        return cls(adapted, settings["max_length"])

    def sizes(self) -> tuple[int, int]:
        """Trained parameters, and all."""
        return evaluation.count_parameters(self.loaded.model)

    def rows(self, items: list):
        """Passages, joined with an end token after each, cut into windows."""
        tokenizer = self.loaded.tokenizer
        encoded = tokenizer(items, add_special_tokens=False, verbose=False)["input_ids"]
        ids = np.concatenate([np.array([*row, tokenizer.eos_token_id]) for row in encoded])
        return training.cut_windows(ids, max(2, min(self.max_length, len(ids) - 1)))

    def fit(self, items: list, labels, settings: dict, seed: int, **options):
        """Tune the adapter on the next word; returns what `training.fit` returns."""
        return fit_rows(self.loaded, self.rows(items), settings, seed, **options)

    def losses(self, items: list, adapted: bool = True) -> np.ndarray:
        """[summed loss in nats, predicted tokens] of each item, (items, 2).

        With `adapted=False` the base answers, as it was before.
        """
        if adapted:
            return _shared(self._losses, items)
        with self.loaded.model.disable_adapter():
            return _shared(self._losses, items)

    def _losses(self, items: list) -> np.ndarray:
        most = min(512, self.loaded.tokenizer.model_max_length - 1)
        return decoding.document_losses(self.loaded, items, most)

    def write(self, prompts: list, max_new_tokens: int = 60) -> list[str]:
        """Go on from each prompt with the likeliest words."""
        return generate(self.loaded, prompts, max_new_tokens=max_new_tokens)

    def save(self, folder: Path) -> None:
        """Write adapter and tokenizer, without the base."""
        self.loaded.tokenizer.save_pretrained(folder)
        save_adapter(self.loaded, folder)

    @classmethod
    def load(cls, folder: Path, card: dict, base=None):
        """Put the adapter on its base, or refuse another."""
        loaded = pretrained.load_decoder(
            source=base or card["base"]["source"], echo=None, device=best_device()
        )
        return cls(load_adapter(loaded, folder), card["settings"]["max_length"])


class ChatModel(ProseModel):
    """A language model with an adapter, to be taught answers; questions are read, not learned."""

    @classmethod
    def start(cls, names, settings, profile, seed, base=None):
        """Load the base; one without a chat template gets a plain one."""
        model = super().start(names, settings, profile, seed, base)
        if not model.loaded.tokenizer.chat_template:
            model.loaded.tokenizer.chat_template = PLAIN
        return model

    def rows(self, items):
        """Chats as rows of tokens; the label of what the assistant does not say is -100."""
        from datasets import Dataset

        rows = [self._row(chat) for chat in items]
        kept = [row for row in rows if set(row["labels"]) != {IGNORED}]
        if not kept:
            raise ValueError(
                f"No answer begins within {self.max_length} tokens; shorten the questions, or give "
                "a larger --max-length."
            )
        self.notes = []
        if len(kept) < len(rows):
            self.notes.append(
                f"{len(rows) - len(kept):,} of {len(rows):,} chats taught nothing: no answer "
                f"begins within {self.max_length} tokens. A larger --max-length keeps them."
            )
        return Dataset.from_list(kept)

    def _row(self, chat: list[dict]) -> dict:
        ids: list[int] = []
        labels: list[int] = []
        for i, message in enumerate(chat):
            if message["role"] != "assistant":
                continue
            before = self._tokens(chat[:i], add_generation_prompt=True)
            whole = self._tokens(chat[: i + 1])
            if whole[: len(before)] != before or before[: len(ids)] != ids:
                raise ValueError(
                    "The chat template of this decoder writes a message otherwise once another "
                    "follows, so answers cannot be told from questions. Choose another decoder."
                )
            labels += [IGNORED] * (len(before) - len(labels)) + whole[len(before) :]
            ids = whole
        labels[0] = IGNORED  # nothing stands before it to predict it from
        return {"input_ids": ids[: self.max_length], "labels": labels[: self.max_length]}

    def _tokens(self, chat: list[dict], **options) -> list[int]:
        text = self.loaded.tokenizer.apply_chat_template(chat, tokenize=False, **options)
        return self.loaded.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]

    def _losses(self, items):
        from datasets import Dataset

        rows = Dataset.from_list([self._row(chat) for chat in items])
        return decoding.answer_losses(self.loaded, rows, BATCH)

    def write(self, prompts, max_new_tokens=60):
        """Answer each chat, or each text as a user's only message."""
        chats = [[{"role": "user", "content": p}] if isinstance(p, str) else p for p in prompts]
        texts = [
            self.loaded.tokenizer.apply_chat_template(
                chat, tokenize=False, add_generation_prompt=True
            )
            for chat in chats
        ]
        return [
            text.strip() for text in generate(self.loaded, texts, max_new_tokens=max_new_tokens)
        ]

    @classmethod
    def load(cls, folder: Path, card: dict, base=None):
        """Put the adapter on its base, with the chat template it was taught with."""
        model = super().load(folder, card, base)
        model.loaded.tokenizer.chat_template = (folder / TEMPLATE).read_text(encoding="utf-8")
        return model


def _shared(losses, items: list) -> np.ndarray:
    """Let each process read its share of the items, and join what they found."""
    share = list(my_share(len(items)))
    found = losses([items[i] for i in share]) if share else []
    whole = gathered(dict(zip(share, found, strict=True)))
    return np.array([whole[i] for i in range(len(items))])
