"""Finding names in film reviews, one method for each era (task `FILM_NER`).

Sentences, budgets and tags are the same for all, from hand-made features to the encoder. Every
`predict` maps token lists to ids of `data.NER_TAGS`.
"""

from dataclasses import replace
from functools import partial

import numpy as np
from datasets import Dataset

from helpers import data, embeddings, networks, pretrained, training
from helpers.methods import FILM_NER, Corpus, Fitted, Method, common, seeds
from helpers.methods.crf import train_crf
from helpers.pretrained import CaseAwareTagger

__all__ = ["METHODS", "NUM_SHAPES", "new_tagger", "spelling", "tune", "vocabulary"]

NUM_SHAPES = 7  # 0, for padding, and the six kinds of `spelling`
CAPITALS_RATE = 10.0  # times the encoder's: these vectors start at zero, its weights do not


def crf(corpus, labelled, seed, c1, c2) -> Fitted:
    """Hand-made features and a conditional random field."""
    tags = [[data.NER_TAGS[tag] for tag in row] for row in labelled["tags"][:]]
    model = train_crf(labelled["tokens"][:], tags, c1, c2)

    def predict(token_lists):
        return [[data.NER_TAGS.index(tag) for tag in model.tag(t)] for t in token_lists]

    size = model.num_weights
    return Fitted(predict, size, size, len(model.model), model)


def spelling(word: str) -> int:
    """Number a word's kind of spelling, which lower-casing loses.

    1 no letter or digit, 2 small letters, 3 capital first, 4 capitals, 5 digits, 6 other.
    """
    letters = [c for c in word if c.isalpha()]
    if not letters:
        return 5 if any(c.isdigit() for c in word) else 1
    upper = [c.isupper() for c in letters]
    if not any(upper):
        return 2
    if not any(upper[1:]):
        return 3 if upper[0] else 6
    return 4 if all(upper) else 6


def known_form(word: str) -> str:
    """Write a word as word vectors know it: lower case, plain quotes."""
    parts = embeddings.tokenize(word)
    return parts[0] if len(parts) == 1 else word.lower()


def vocabulary(corpus: Corpus) -> networks.Vocabulary:
    """Words that GloVe knows and our training texts have twice, and those of the tagged sentences.

    Tags and held-out texts are unread. With GloVe a word has a meaning even if no tagged sentence
    contains it; a random vector of such a word is never trained and carries nothing.
    """

    def make():
        known = embeddings.load_glove()
        words = map(embeddings.tokenize, common.training_texts(corpus))
        counted = networks.Vocabulary.build(words, min_count=2)
        kept = dict.fromkeys(word for word in counted.words[2:] if word in known)
        tagged = (known_form(w) for tokens in corpus.names["train"]["tokens"][:] for w in tokens)
        return networks.Vocabulary(kept | dict.fromkeys(tagged))

    return corpus.once("names vocabulary", make)


def glove(corpus: Corpus) -> embeddings.Embeddings:
    """GloVe 6B, restricted to the vocabulary of the taggers."""
    words = vocabulary(corpus).words
    return corpus.once("names glove", lambda: embeddings.load_glove().restrict(words))


def new_tagger(corpus: Corpus, seed: int, pretrained_vectors: bool) -> networks.BiLSTMTagger:
    """An untrained BiLSTM over words and their spelling, with GloVe or with random word vectors."""
    words, vectors = vocabulary(corpus).words, glove(corpus)
    if not pretrained_vectors:  # of the same size and spread, for the same words, saying nothing
        spread = np.random.default_rng(seed).normal(0, vectors.matrix.std(), vectors.matrix.shape)
        vectors = embeddings.Embeddings(vectors.words, spread.astype(np.float32))
    matrix, _ = embeddings.embedding_matrix(words, vectors, seed)
    options = {"embeddings": matrix, "num_shapes": NUM_SHAPES}
    with pretrained.seeded(seed):
        return networks.BiLSTMTagger(len(words), len(data.NER_TAGS), **options)


def word_rows(corpus: Corpus, token_lists, tags=None) -> Dataset:
    """Encode sentences as rows of word ids and spellings, for `training.fit` and `predict`."""
    words = vocabulary(corpus)
    columns = {"input_ids": [words.encode(map(known_form, tokens)) for tokens in token_lists]}
    columns["shape_ids"] = [list(map(spelling, tokens)) for tokens in token_lists]
    return Dataset.from_dict(columns | ({} if tags is None else {"labels": tags}))


def bilstm(
    corpus, labelled, seed, pretrained_vectors, tuned, num_epochs, min_steps, **settings
) -> Fitted:
    """A BiLSTM on GloVe or random word vectors, which are frozen unless `tuned`."""
    model = new_tagger(corpus, seed, pretrained_vectors).to(common.device(corpus))
    rows = word_rows(corpus, labelled["tokens"][:], labelled["tags"][:])
    least = corpus.profile.floor(min_steps)
    training.fit(
        model,
        rows,
        num_epochs=common.epochs_for(len(rows), num_epochs, least, BATCH),
        batch_size=BATCH,
        seed=seed,
        freeze=() if tuned else ("embedding",),
        **settings,
    )

    def predict(token_lists):
        best = training.predict(model, word_rows(corpus, token_lists)).argmax(axis=2)
        return [row[: len(t)].tolist() for row, t in zip(best, token_lists, strict=True)]

    return common.as_fitted(model, predict)


def piece_rows(tokenizer, token_lists, tags=None) -> Dataset:
    """Encode sentences as rows of sub-words, each with the spelling of its word."""
    rows = pretrained.encode_words(tokenizer, token_lists, tags, common.MAX_PIECES, echo=None)
    shapes = [
        [0 if word < 0 else spelling(tokens[word]) for word in word_ids]
        for word_ids, tokens in zip(rows["word_ids"][:], token_lists, strict=True)
    ]
    return rows.add_column("shape_ids", shapes)


def tune(
    corpus: Corpus, labelled: Dataset, seed: int, capitals: bool = False, **settings
) -> pretrained.Pretrained:
    """Tune all blocks of the encoder to tag words; its sub-word embeddings stay frozen.

    With `capitals` it also reads the spelling of each word. `settings` are those of
    `common.fine_tune`; give the learning rate for MiniLM, it is adapted to the encoder.
    """
    loaded = pretrained.load_encoder(
        "tokens",
        label_names=data.NER_TAGS,
        profile=corpus.profile,
        cased=True,
        seed=seed,
        echo=None,
    )
    rows = piece_rows(loaded.tokenizer, labelled["tokens"], labelled["tags"])
    rate = settings["learning_rate"]
    settings["learning_rate"] = pretrained.learning_rate_for(loaded.model.config, rate)
    settings["min_steps"] = corpus.profile.floor(settings.get("min_steps", 0))
    depth = len(pretrained.blocks(loaded.model))
    settings["freeze"] = pretrained.freeze_below(loaded.model, depth)
    if capitals:
        model = CaseAwareTagger(loaded.model, NUM_SHAPES).to(loaded.model.device)
        loaded = replace(loaded, model=model)
        settings["freeze"] = [f"model.{name}" for name in settings["freeze"]]
        settings["learning_rate_groups"] = {"casing": CAPITALS_RATE}
    common.fine_tune(loaded, rows, None, batch_size=BATCH, seed=seed, **settings)
    return loaded


def encoder(corpus, labelled, seed, capitals=False, **settings) -> Fitted:
    """The encoder with a head on each word's first sub-word; with `capitals` it sees spelling."""
    loaded = tune(corpus, labelled, seed, capitals, **settings)

    def predict(token_lists):
        rows = piece_rows(loaded.tokenizer, token_lists)
        options = {"pad_id": loaded.pad_id, "precision": loaded.precision}
        logits = training.predict(loaded.model, rows, 64, **options)
        return pretrained.word_predictions(logits, rows)

    return common.as_fitted(loaded.model, predict)


def _declare(name, era, configurations, fit, plan, prepare=None) -> Method:
    return Method(name, era, configurations, fit, plan, prepare, task=FILM_NER)


BATCH = 16
FIELD = common.combinations(c1=(0.1, 0.3, 1.0), c2=(0.01, 0.1))
BILSTM = common.combinations(
    tuned=(False, True), num_epochs=20, min_steps=300, learning_rate=(3e-3, 6e-3, 1e-2)
)
ENCODER = common.combinations(num_epochs=6, min_steps=100, learning_rate=(2e-4, 5e-4, 1e-3))
UNTUNED = ENCODER[:1]  # the setting frozen for its twin, so that capitals alone differ
RANDOM, GLOVE = (partial(bilstm, pretrained_vectors=known) for known in (False, True))
CAPITALS = partial(encoder, capitals=True)

METHODS = (
    _declare("CRF on features", "classical", FIELD, crf, seeds.SENTENCES_SETTLED),
    _declare(
        "BiLSTM, random vectors", "embeddings", BILSTM, RANDOM, seeds.SENTENCES, common.loads(glove)
    ),
    _declare("BiLSTM, GloVe", "embeddings", BILSTM, GLOVE, seeds.SENTENCES, common.loads(glove)),
    _declare("encoder, token head", "bert", ENCODER, encoder, seeds.SENTENCES_HEAVY),
    _declare("encoder, token head + capitals", "bert", UNTUNED, CAPITALS, seeds.SENTENCES_HEAVY),
)
