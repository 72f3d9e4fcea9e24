"""Pre-trained models that put a text into a class, and one that puts words into classes."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from helpers import evaluation, pretrained, training
from helpers.adapters import add_adapter, load_adapter, save_adapter
from helpers.finetune.parallel import shared_logits
from helpers.finetune.settings import num_epochs_for
from helpers.runtime import Profile, usable_precision
from helpers.training import device_of

__all__ = ["AdaptedClassifier", "EncoderClassifier", "Tagger", "best_device", "fit_rows"]

FEW_STEPS, SAVE_STEPS = 20, 200  # between checkpoints: at least, for they are large; at most
QUESTION = "\nLabel:"  # stands after each text, so that the last token is always the same


def fit_rows(loaded, rows, settings: dict, seed: int, freeze=(), **options) -> training.FitResult:
    """Train what is free of a model on rows, with settings of `default_settings`."""
    if "output_dir" in options:  # a long epoch must not be lost as a whole
        steps = -(-len(rows) // settings["batch_size"])  # an epoch
        options["save_steps"] = min(SAVE_STEPS, max(FEW_STEPS, steps))
    return training.fit(
        loaded.model, rows, num_epochs=num_epochs_for(len(rows), settings), freeze=freeze,
        learning_rate=settings["learning_rate"], batch_size=settings["batch_size"], seed=seed,
        warmup_steps=0.1, pad_id=loaded.pad_id, precision=usable_precision(device_of(loaded.model)),
        **options,
    )  # fmt: skip


@dataclass
class _Neural:
    """What pre-trained models of this tool share: the `Pretrained`, and how much they read."""

    loaded: pretrained.Pretrained
    max_length: int
    head: ClassVar[str] = "classification"
    notes: ClassVar[tuple[str, ...]] = ()  # every row is trained on

    def sizes(self) -> tuple[int, int]:
        """Trained parameters, and all."""
        return evaluation.count_parameters(self.loaded.model)

    def _fit_all_blocks(self, rows, settings: dict, seed: int, options: dict):
        model = self.loaded.model
        freeze = pretrained.freeze_below(model, len(pretrained.blocks(model)))
        return fit_rows(self.loaded, rows, settings, seed, freeze, **options)

    def save(self, folder: Path) -> None:
        """Write model and tokenizer."""
        self.loaded.tokenizer.save_pretrained(folder)
        self.loaded.model.save_pretrained(folder)

    @classmethod
    def load(cls, folder: Path, card: dict, base=None):
        """Read what `save` wrote; it needs no base."""
        loaded = pretrained.load_encoder(
            cls.head, label_names=card["label_names"], source=folder.resolve(), echo=None,
            device=best_device(),
        )  # fmt: skip
        return cls(loaded, card["settings"]["max_length"])


class EncoderClassifier(_Neural):
    """An encoder, all of its blocks tuned, with a head over the mean of a text's tokens."""

    @classmethod
    def start(cls, names: list[str], settings: dict, profile: Profile, seed: int, base=None):
        """Load the base with a fresh head."""
        loaded = pretrained.load_encoder(
            label_names=names, profile=profile, source=base, seed=seed, echo=None
        )
        return cls(loaded, settings["max_length"])

    def rows(self, texts: list[str], labels=None):
        """Texts as rows of word pieces."""
        return pretrained.encode_texts(
            self.loaded.tokenizer, texts, labels, self.max_length, echo=None
        )

    def fit(self, texts: list[str], labels: list[int], settings: dict, seed: int, **options):
        """Tune it; returns what `training.fit` returns."""
        return self._fit_all_blocks(self.rows(texts, labels), settings, seed, options)

    def probabilities(self, texts: list[str]) -> np.ndarray:
        """Probability of each class, (texts, classes)."""
        from scipy.special import softmax

        logits = shared_logits(self.loaded, self.rows(texts))
        return softmax(logits.astype(np.float64), axis=1)


class AdaptedClassifier(EncoderClassifier):
    """A decoder with a LoRA adapter, and a head on its last token."""

    @classmethod
    def start(cls, names, settings, profile, seed, base=None):
        """Load the base with a fresh head and an adapter that does nothing yet."""
        loaded = pretrained.load_decoder(
            "classification", label_names=names, profile=profile, source=base, seed=seed, echo=None
        )
        # Few parameters train: there is little to hold back by hiding parts of a state.
        loaded.model.dropout.p = 0.0
        adapted = add_adapter(loaded, rank=settings["rank"], alpha=settings["alpha"], seed=seed)
        return cls(adapted, settings["max_length"])

    def rows(self, texts, labels=None):
        """Texts as rows of tokens: a long text is cut, the question after it is not."""
        from datasets import Dataset

        tokenizer = self.loaded.tokenizer
        end = tokenizer(QUESTION, add_special_tokens=False)["input_ids"]
        room = self.max_length - len(end)
        ids = [row[:room] + end for row in tokenizer(texts, verbose=False)["input_ids"]]
        columns = {"input_ids": ids} | ({} if labels is None else {"labels": labels})
        return Dataset.from_dict(columns)

    def fit(self, texts, labels, settings, seed, **options):
        """Tune adapter and head; returns what `training.fit` returns."""
        return fit_rows(self.loaded, self.rows(texts, labels), settings, seed, **options)

    def save(self, folder: Path) -> None:
        """Write adapter, head and tokenizer, without the base."""
        self.loaded.tokenizer.save_pretrained(folder)
        save_adapter(self.loaded, folder)

    @classmethod
    def load(cls, folder: Path, card: dict, base=None):
        """Put the adapter on its base, or refuse another."""
        loaded = pretrained.load_decoder(
            "classification", label_names=card["label_names"], echo=None, device=best_device(),
            source=base or card["base"]["source"],
        )  # fmt: skip
        return cls(load_adapter(loaded, folder), card["settings"]["max_length"])


class Tagger(_Neural):
    """An encoder, all of its blocks tuned, with a head on the first piece of each word."""

    head = "tokens"

    @classmethod
    def start(cls, names: list[str], settings: dict, profile: Profile, seed: int, base=None):
        """Load the base with a fresh head."""
        loaded = pretrained.load_encoder(
            "tokens", label_names=names, profile=profile, source=base, cased=True, seed=seed,
            echo=None,
        )  # fmt: skip
        return cls(loaded, settings["max_length"])

    @property
    def names(self) -> list[str]:
        """The tags, in the order of the model's outputs."""
        return [self.loaded.model.config.id2label[i] for i in range(self.loaded.model.num_labels)]

    def rows(self, sentences: list[list[str]], tags=None):
        """Sentences of words as rows of pieces."""
        return pretrained.encode_words(
            self.loaded.tokenizer, sentences, tags, self.max_length,
            label_names=tags and self.names, echo=None,
        )  # fmt: skip

    def fit(self, sentences, tags, settings: dict, seed: int, **options):
        """Tune it; returns what `training.fit` returns."""
        return self._fit_all_blocks(self.rows(sentences, tags), settings, seed, options)

    def tags(self, sentences: list[list[str]]) -> list[list[str]]:
        """IOB2 tags, one a word."""
        rows = self.rows(sentences)
        logits = shared_logits(self.loaded, rows)
        return [[self.names[i] for i in row] for row in pretrained.word_predictions(logits, rows)]


def best_device() -> str:
    """A GPU if there is one."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
