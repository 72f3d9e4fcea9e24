"""Methods of 2013 to 2015: word vectors, averaged or as the first layer of a network."""

import numpy as np
from sklearn.linear_model import LogisticRegression

from helpers import embeddings, networks
from helpers.methods.base import EVERY, SETTLED, Corpus, Fitted, Method
from helpers.methods.neural import as_fitted, seeded, train_on, vocabulary
from helpers.methods.pretraining import CNN, cnn_from_scratch

__all__ = ["METHODS", "new_textcnn", "word_weights"]


def glove(corpus: Corpus):
    """GloVe 6B, the words of our own texts."""
    words = vocabulary(corpus).words
    return corpus.once("glove", lambda: embeddings.load_glove().restrict(words))


def skipgram(corpus: Corpus):
    """Skip-gram vectors of IMDB's training reviews, labels unread."""
    return corpus.once("skipgram", lambda: embeddings.imdb_skipgram(profile=corpus.profile))


def word_weights(corpus: Corpus) -> dict[str, float]:
    """How rare each word is in the training texts of both corpora, labels unread."""

    def make():
        texts = corpus.imdb["train"]["text"][:] + corpus.reviews["train"]["text"][:]
        return embeddings.inverse_frequencies(texts)

    return corpus.once("word_weights", make)


def _averaged(corpus, labelled, vectors, idf, C) -> Fitted:
    """Mean vectors of texts, and logistic regression on them."""
    weights = word_weights(corpus) if idf else None

    def features(texts):
        return embeddings.average(texts, vectors, weights)

    model = LogisticRegression(C=C, max_iter=2_000)
    model.fit(features(labelled["text"][:]), np.array(labelled["label"][:]))
    trained = model.coef_.size + 1

    def predict(texts):
        return model.predict(features(texts))

    return Fitted(predict, trained, trained + vectors.matrix.size, 4 * trained)


def averaged_glove(corpus, labelled, seed, idf, C):
    """GloVe vectors, averaged."""
    return _averaged(corpus, labelled, glove(corpus), idf, C)


def averaged_skipgram(corpus, labelled, seed, idf, C):
    """IMDB's skip-gram vectors, averaged."""
    return _averaged(corpus, labelled, skipgram(corpus), idf, C)


def new_textcnn(corpus: Corpus, seed: int, freeze_embeddings: bool = False):
    """A TextCNN whose word vectors are IMDB's skip-gram vectors (Kim 2014)."""
    words = vocabulary(corpus).words
    matrix, _ = embeddings.embedding_matrix(words, skipgram(corpus), seed)
    return seeded(
        seed,
        lambda: networks.TextCNN(
            len(words), embeddings=matrix, freeze_embeddings=freeze_embeddings
        ),
    )


def static_textcnn(corpus, labelled, seed, num_epochs, learning_rate):
    """TextCNN on skip-gram vectors that stay as they are."""
    model = new_textcnn(corpus, seed, freeze_embeddings=True)
    train_on(corpus, model, labelled, seed, num_epochs=num_epochs, learning_rate=learning_rate)
    return as_fitted(corpus, model)


def tuned_textcnn(corpus, labelled, seed, num_epochs, learning_rate):
    """TextCNN on skip-gram vectors that are tuned with it."""
    model = new_textcnn(corpus, seed)
    train_on(corpus, model, labelled, seed, num_epochs=num_epochs, learning_rate=learning_rate)
    return as_fitted(corpus, model)


def _share_glove(corpus, idf, **configuration) -> None:
    glove(corpus)
    if idf:
        word_weights(corpus)


def _share_skipgram(corpus, idf=False, **configuration) -> None:
    vocabulary(corpus)
    skipgram(corpus)
    if idf:
        word_weights(corpus)


def _declare(name, fit, configurations, prepare, plan=EVERY) -> Method:
    return Method(name, "embeddings", configurations, fit, plan, prepare)


AVERAGED = tuple({"idf": idf, "C": C} for idf in (False, True) for C in (0.3, 1.0, 3.0))
METHODS = (
    _declare("averaged GloVe", averaged_glove, AVERAGED, _share_glove, SETTLED),
    _declare("averaged skip-gram", averaged_skipgram, AVERAGED, _share_skipgram, SETTLED),
    _declare("TextCNN, random vectors", cnn_from_scratch, CNN, _share_skipgram),
    _declare("TextCNN, static skip-gram", static_textcnn, CNN, _share_skipgram),
    _declare("TextCNN, tuned skip-gram", tuned_textcnn, CNN, _share_skipgram),
)
