"""Pre-trained models for each task, with one interface for the pipeline."""

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from datasets import Dataset
from scipy.special import softmax

from helpers import decoding, instructing, pretrained, training
from helpers.adapters import add_adapter, hold_base, load_adapter, save_adapter
from helpers.finetune.baselines import LinearModel
from helpers.finetune.settings import num_epochs_for
from helpers.networks import IGNORED
from helpers.runtime import Profile, choose_profile, live

__all__ = ["MODELS", "ChatModel", "ProseModel"]

FEW_STEPS, SAVE_STEPS = 20, 200  # between checkpoints (they are large): at least, at most
BATCH = 64  # rows at once in an evaluation
LANGUAGE_BATCH = 4  # smaller: logits over the vocabulary are large
QUESTION = "\nLabel:"  # after each text: the head then always reads the same last token
TEMPLATE = "chat_template.jinja"  # where tokenizers save it
# For a decoder without a template of its own:
PLAIN = """{% for message in messages %}{{ message.role }}: {{ message.content }}{{ eos_token }}
{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}"""


def in_shares(answer: Callable[[list], list], items: list) -> list:
    """Answer items, shared among the running processes; every process gets all answers."""
    if training.place()[1] == 1:
        return answer(items)
    with PartialState().split_between_processes(items) as share:
        return gather_object(answer(share) if share else [])


@dataclass
class NeuralModel:
    """What the models share; `max_length` is in tokens, `notes` say what `rows` left out."""

    loaded: pretrained.Pretrained
    max_length: int
    notes: list[str] = field(default_factory=list)

    def sizes(self) -> tuple[int, int]:
        """Number of trained parameters, and of all."""
        return training.count_parameters(self.loaded.model)

    def frozen(self) -> list[str]:
        """Names of parameters not to train: without an adapter, those below the blocks."""
        model = self.loaded.model
        return pretrained.freeze_below(model, len(pretrained.blocks(model)))

    def fit(self, items, labels, settings: dict, **options) -> training.FitResult:
        """Train with `settings` from `settings_for`; `options` go to `training.fit`."""
        rows, batch_size = self.rows(items, labels), settings["batch_size"]
        return training.fit(
            self.loaded.model,
            rows,
            num_epochs=num_epochs_for(len(rows), settings),
            learning_rate=settings["learning_rate"],
            batch_size=batch_size,
            seed=settings["seed"],
            freeze=self.frozen(),
            warmup_steps=0.1,
            pad_id=self.loaded.pad_id,
            precision=self.loaded.precision,
            # Once per epoch, but never lose the whole of a long one.
            save_steps=min(SAVE_STEPS, max(FEW_STEPS, math.ceil(len(rows) / batch_size))),
            **options,
        )

    def logits(self, rows: Dataset) -> np.ndarray:
        """The model's outputs for tokenized rows."""
        options = {"pad_id": self.loaded.pad_id, "precision": self.loaded.precision}
        return training.predict(self.loaded.model, rows, BATCH, **options)

    def save(self, folder: Path) -> None:
        """Write model and tokenizer."""
        self.loaded.tokenizer.save_pretrained(folder)
        self.loaded.model.save_pretrained(folder)


class EncoderModel(NeuralModel):
    """An encoder with a new head; all of its blocks are tuned."""

    task, cased = "classification", False

    @classmethod
    def start(cls, names: list[str], settings: dict, profile: Profile, base=None):
        """Load the base with a new head."""
        options = {"profile": profile, "source": base, "cased": cls.cased, "seed": settings["seed"]}
        loaded = pretrained.load_encoder(cls.task, label_names=names, echo=None, **options)
        return cls(loaded, settings["max_length"])

    @classmethod
    def load(cls, folder: Path, card: dict, base=None):
        """Read what `save` wrote; no base is needed."""
        options = {"source": folder.resolve(), "echo": None, **_here()}
        loaded = pretrained.load_encoder(cls.task, label_names=card["label_names"], **options)
        return cls(loaded, card["settings"]["max_length"])


class EncoderClassifier(EncoderModel):
    """An encoder with a head over the mean of a text's tokens."""

    def rows(self, texts: list[str], labels=None) -> Dataset:
        """Texts as rows of tokens."""
        tokenizer = self.loaded.tokenizer
        return pretrained.encode_texts(tokenizer, texts, labels, self.max_length, echo=None)

    def probabilities(self, texts: list[str]) -> np.ndarray:
        """Probability of each class, (texts, classes)."""
        logits = in_shares(lambda share: list(self.logits(self.rows(share))), texts)
        return softmax(np.array(logits, np.float64), axis=1)


class Tagger(EncoderModel):
    """An encoder with a head on the first token of each word."""

    task, cased = "tokens", True

    def rows(self, sentences: list[list[str]], tags=None) -> Dataset:
        """Sentences of words as rows of tokens."""
        options = {"label_names": self.names(), "echo": None}
        tokenizer = self.loaded.tokenizer
        return pretrained.encode_words(tokenizer, sentences, tags, self.max_length, **options)

    def tags(self, sentences: list[list[str]]) -> list[list[str]]:
        """IOB2 tags, one per word."""

        def answer(share: list[list[str]]) -> list[list[str]]:
            rows = self.rows(share)
            predicted = pretrained.word_predictions(self.logits(rows), rows)
            return [[names[i] for i in row] for row in predicted]

        names = self.names()
        return in_shares(answer, sentences)

    def names(self) -> list[str]:
        """The tags, in the order of the model's outputs."""
        names = self.loaded.model.config.id2label
        return [names[i] for i in range(len(names))]


class AdaptedModel(NeuralModel):
    """A decoder with a LoRA adapter; the base is frozen and not saved."""

    task = "lm"

    @classmethod
    def start(cls, names: list[str], settings: dict, profile: Profile, base=None):
        """Load the base with an adapter that changes nothing yet; a classifier gets a head too."""
        options = {"profile": profile, "source": base, "seed": settings["seed"], "echo": None}
        loaded = pretrained.load_decoder(cls.task, label_names=names or None, **options)
        if hasattr(loaded.model, "dropout"):
            # Few parameters train, so there is little to regularise.
            loaded.model.dropout.p = 0.0
        adapter = {name: settings[name] for name in ("rank", "alpha", "seed")}
        return cls(hold_base(add_adapter(loaded, **adapter)), settings["max_length"])

    @classmethod
    def load(cls, folder: Path, card: dict, base=None):
        """Put the adapter on its base; a different base is refused."""
        options = {"source": base or card["base"]["source"], "echo": None, **_here()}
        names = card["label_names"] or None
        loaded = pretrained.load_decoder(cls.task, label_names=names, **options)
        return cls(hold_base(load_adapter(loaded, folder)), card["settings"]["max_length"])

    def frozen(self) -> list[str]:
        """None here: `add_adapter` has frozen the base already."""
        return []

    def save(self, folder: Path) -> None:
        """Write adapter, head and tokenizer, without the base."""
        self.loaded.tokenizer.save_pretrained(folder)
        save_adapter(self.loaded, folder)


class AdaptedClassifier(AdaptedModel, EncoderClassifier):
    """A decoder with a LoRA adapter, and a head on its last token."""

    task = "classification"

    def rows(self, texts: list[str], labels=None) -> Dataset:
        """Texts as rows of tokens, each followed by `QUESTION`, for which a long text is cut."""
        tokenizer = self.loaded.tokenizer
        end = tokenizer(QUESTION, add_special_tokens=False)["input_ids"]
        room = self.max_length - len(end)
        ids = [row[:room] + end for row in tokenizer(texts, verbose=False)["input_ids"]]
        return Dataset.from_dict({"input_ids": ids} | ({"labels": labels} if labels else {}))


class ProseModel(AdaptedModel):
    """A language model with an adapter, trained on running text."""

    def rows(self, items: list[str], labels=None) -> Dataset:
        """Passages, each followed by an end token, joined and cut into windows."""
        tokenizer = self.loaded.tokenizer
        encoded = tokenizer(items, add_special_tokens=False, verbose=False)["input_ids"]
        ids = np.concatenate([np.array([*row, tokenizer.eos_token_id]) for row in encoded])
        return training.cut_windows(ids, max(2, min(self.max_length, len(ids) - 1)))

    def losses(self, items: list, adapted: bool = True) -> np.ndarray:
        """(items, 2): summed loss in nats and predicted tokens; `adapted=False` scores the base."""
        with contextlib.nullcontext() if adapted else self.loaded.model.disable_adapter():
            return np.array(in_shares(lambda share: list(self._losses(share)), items))

    def _losses(self, items: list[str]) -> np.ndarray:
        most = min(512, self.loaded.tokenizer.model_max_length - 1)
        return decoding.document_losses(self.loaded, items, most)

    def write(self, prompts: list, max_new_tokens: int = 60) -> list[str]:
        """Continue each prompt by greedy decoding."""
        return decoding.generate(self.loaded, prompts, max_new_tokens=max_new_tokens)


class ChatModel(ProseModel):
    """A language model with an adapter, trained on the assistant's answers alone."""

    @classmethod
    def start(cls, names: list[str], settings: dict, profile: Profile, base=None):
        """Load the base; if it has no chat template, give it `PLAIN`."""
        model = super().start(names, settings, profile, base)
        model.loaded.tokenizer.chat_template = model.loaded.tokenizer.chat_template or PLAIN
        return model

    @classmethod
    def load(cls, folder: Path, card: dict, base=None):
        """Put the adapter on its base, with the chat template it was trained with."""
        model = super().load(folder, card, base)
        model.loaded.tokenizer.chat_template = (folder / TEMPLATE).read_text(encoding="utf-8")
        return model

    def rows(self, items: list[list[dict]], labels=None) -> Dataset:
        """Chats as rows of tokens; labels are -100 outside the assistant's answers."""
        rows = self._all_rows(items)
        learned = [i for i, row in enumerate(rows["labels"]) if set(row) != {IGNORED}]
        if not learned:
            raise ValueError(
                f"No answer begins within {self.max_length} tokens; shorten the questions, or give "
                "a larger --max-length."
            )
        self.notes = []
        if len(learned) < len(rows):
            self.notes.append(
                f"{len(rows) - len(learned):,} of {len(rows):,} chats taught nothing: no answer "
                f"begins within {self.max_length} tokens. A larger --max-length keeps them."
            )
        return rows.select(learned)

    def _all_rows(self, chats: list) -> Dataset:
        return instructing.chat_rows(self.loaded.tokenizer, chats, max_length=self.max_length)

    def _losses(self, items: list[list[dict]]) -> np.ndarray:
        return decoding.answer_losses(self.loaded, self._all_rows(items), LANGUAGE_BATCH)

    def write(self, prompts: list, max_new_tokens: int = 60) -> list[str]:
        """Answer each chat, or each text as a user's only message."""
        chats = [[{"role": "user", "content": p}] if isinstance(p, str) else p for p in prompts]
        template = self.loaded.tokenizer.apply_chat_template
        texts = [template(chat, tokenize=False, add_generation_prompt=True) for chat in chats]
        return [text.strip() for text in super().write(texts, max_new_tokens)]


MODELS = {
    ("classification", "linear"): LinearModel,
    ("classification", "encoder"): EncoderClassifier,
    ("classification", "lora"): AdaptedClassifier,
    ("ner", "encoder"): Tagger,
    ("text", "lora"): ProseModel,
    ("chat", "lora"): ChatModel,
}
"""(task, method) -> the class that trains and loads its models."""


def _here() -> dict:
    """Where a saved model answers, and in which precision: options of the loaders."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return {"device": device, "profile": live(choose_profile(), device)}
