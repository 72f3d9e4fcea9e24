"""Methods of 2018: a small GPT that read IMDB first, fine-tuned, and its twin that did not."""

import math
from functools import partial

import numpy as np
from datasets import Dataset
from transformers import PreTrainedTokenizerFast

from helpers import networks, pretrained, training
from helpers.methods import Corpus, Fitted, Method, common, seeds
from helpers.methods.checkpoints import CHECKPOINTS, Pretraining, find
from helpers.word_tokenizer import tokenize

__all__ = ["CONTEXT", "METHODS", "PROMPTS", "TINY_GPT", "TOKENIZER", "WINDOW", "held_out_figures"]
__all__ += ["new_tiny_gpt", "rows_of", "running_text", "samples", "tiny_gpt", "tokenizer", "tune"]

TOKENIZER = CHECKPOINTS / "tiny-gpt-tokenizer.json"
CONTEXT = 128
WINDOW = CONTEXT - 1  # tokens predicted in a row: the last one of a context has no successor
HELD_OUT_REVIEWS = 500
SHAPE = {"dimensions": 192, "layers": 4, "heads": 6, "context": CONTEXT}
SMOKE_SHAPE = {**SHAPE, "dimensions": 32, "layers": 2, "heads": 2}
PROMPTS = ("the acting", "i loved this", "what a waste of")


def tokenizer(corpus: Corpus) -> PreTrainedTokenizerFast:
    """The 4,096 sub-words that `networks.train_byte_pairs` learns from IMDB's training reviews."""
    return corpus.once("byte_pairs", lambda: networks.read_byte_pairs(TOKENIZER))


def new_tiny_gpt(corpus: Corpus, seed: int = 0) -> networks.TinyGPT:
    """An untrained GPT over the sub-words of IMDB."""
    shape = SMOKE_SHAPE if corpus.profile.name == "smoke" else SHAPE
    size = len(tokenizer(corpus))
    with pretrained.seeded(seed):
        return networks.TinyGPT(vocabulary_size=size, **shape, dropout=0.0)


def _ids(corpus: Corpus, texts: list[str]) -> np.ndarray:
    """Concatenate texts, each after an end-of-text token: integers (tokens,)."""
    encoded = tokenizer(corpus)(texts, return_attention_mask=False, verbose=False)["input_ids"]
    return np.concatenate([np.array(ids[:-1], np.int64) for ids in encoded])


def running_text(corpus: Corpus, reviews: int | None = None) -> tuple[Dataset, Dataset]:
    """IMDB in windows, labels unread: (training text of at most `reviews` texts, held-out text)."""
    both = corpus.imdb["train"]["text"][:reviews], _held_out_texts(corpus)
    return tuple(training.cut_windows(_ids(corpus, texts), WINDOW) for texts in both)


def _held_out_texts(corpus: Corpus) -> list[str]:
    return corpus.imdb["validation"]["text"][:HELD_OUT_REVIEWS]


def samples(corpus: Corpus, model, max_new_tokens: int = 30) -> list[str]:
    """Continue each of `PROMPTS` with a language model; returns prompts with continuations."""
    known, texts = tokenizer(corpus), []
    for seed, prompt in enumerate(PROMPTS):
        ids = known(prompt)["input_ids"][:-1]
        ids += networks.sample(model, ids, max_new_tokens, seed=seed, stop=known.eos_token_id)
        texts.append(known.decode(ids, skip_special_tokens=True).strip())
    return texts


def held_out_figures(corpus: Corpus, model) -> dict[str, float]:
    """How well a language model of this vocabulary predicts the held-out reviews.

    Perplexity per token cannot be compared between vocabularies: longer sub-words are fewer and
    harder to predict. The other two spread the same loss over units that all vocabularies share.

    Returns:
        `perplexity` per token; `bits_per_byte` of the UTF-8 text as the tokenizer reads it;
        `word_perplexity`, where words are those of `embeddings.tokenize`.
    """
    texts = _held_out_texts(corpus)
    ids = corpus.once("gpt_held_out", lambda: _ids(corpus, texts))
    read = tokenizer(corpus).decode(ids, skip_special_tokens=True)
    each = common.perplexity(model, training.cut_windows(ids, WINDOW))
    nats = math.log(each) * len(ids)
    words = sum(len(tokenize(text)) for text in texts)
    return {
        "perplexity": round(each, 3),
        "bits_per_byte": round(nats / len(read.encode("utf-8")) / math.log(2), 4),
        "word_perplexity": round(math.exp(nats / words), 2),
    }


TINY_GPT = Pretraining(
    name="tiny-gpt",
    build=new_tiny_gpt,
    rows=running_text,
    settings={
        "num_epochs": 2,
        "learning_rate": 2e-3,
        "batch_size": 16,
        "warmup_steps": 0.02,
        "weight_decay": 0.01,
        "save_steps": 250,
    },
    details={"window": WINDOW, "heads": SHAPE["heads"], "dropout": 0.0},
    describe="the text of IMDB's training reviews (Maas et al. 2011), labels unread",
    words=lambda corpus: tokenizer(corpus).convert_ids_to_tokens(range(len(tokenizer(corpus)))),
    notes=lambda corpus, model: {
        **held_out_figures(corpus, model),
        "samples": samples(corpus, model),
    },
    note_at=(0.0, 0.01, 0.03, 0.1, 0.3, 1.0),
)


def tiny_gpt(corpus: Corpus) -> networks.TinyGPT:
    """A GPT trained to predict the next sub-word of IMDB's reviews, labels unread."""
    return find(TINY_GPT, corpus)


def rows_of(corpus: Corpus, split: Dataset) -> Dataset:
    """Tokenize a labelled split into rows for `training.fit`."""
    return _read(corpus, split["text"][:], split["label"][:])


def _read(corpus: Corpus, texts, labels=None) -> Dataset:
    return pretrained.encode_texts(tokenizer(corpus), texts, labels, CONTEXT, echo=None)


def tune(
    corpus: Corpus,
    labelled: Dataset,
    seed: int,
    *,
    weights: bool = True,
    lm_weight: float = 0.5,
    min_steps: int = 0,
    **settings,
) -> tuple[networks.TinyGPTClassifier, training.FitResult]:
    """Fine-tune the tiny GPT on labels and on predicting the same texts (Radford et al. 2018).

    The end-of-text token, which pre-training saw between reviews, stands before and after each
    text; the paper has a separate token for each place. `settings` are arguments of `training.fit`.

    Args:
        weights: False for the same network from random weights.
        lm_weight: weight of the next-token loss beside that of the labels.
        min_steps: minimum number of steps; adds epochs where `num_epochs` gives fewer.
    """
    body = tiny_gpt(corpus) if weights else new_tiny_gpt(corpus, seed)
    with pretrained.seeded(seed):
        model = networks.TinyGPTClassifier.from_language_model(body, lm_weight=lm_weight)
    model.to(common.device(corpus))
    settings = {"warmup_steps": 0.1, "seed": seed, **settings}
    least = corpus.profile.floor(min_steps)
    settings["num_epochs"] = common.epochs_for(len(labelled), settings["num_epochs"], least)
    return model, training.fit(model, rows_of(corpus, labelled), **settings)


def tuned(corpus, labelled, seed, **settings) -> Fitted:
    """All of the tiny GPT, tuned with a head on the last token."""
    model, _ = tune(corpus, labelled, seed, **settings)
    return common.fitted_classifier(model, partial(_read, corpus))


def _declare(name, fit, needs, *rates) -> Method:
    tried = common.combinations(num_epochs=5, min_steps=200, lm_weight=0.5, learning_rate=rates)
    return Method(name, "gpt", tried, fit, seeds.UP_TO_1_000, common.loads(needs))


RANDOM = partial(tuned, weights=False)  # the same network and losses: the control

METHODS = (
    _declare("tiny GPT from scratch", RANDOM, tokenizer, 5e-4, 1e-3, 2e-3),
    _declare("tiny GPT, fine-tuned", tuned, tiny_gpt, 2e-4, 5e-4, 1e-3),
)
