"""Methods from before 2010: counts and linear models, with and without a second corpus.

What the corpora's texts are turned into is computed once and shared. Its vocabulary and document
frequencies come from all training texts of both corpora, without their labels: unlabelled text
counts as no label.
"""

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import Pipeline, make_pipeline, make_union

from helpers.features import LogCountRatio, PriorLogisticRegression, augment
from helpers.methods.base import NO_LABELS, SETTLED, Corpus, Fitted, Method

__all__ = ["METHODS", "source_matrix", "source_weights", "space", "word_vectorizer"]


def linear(C: float, **options) -> LogisticRegression:
    """Logistic regression as used throughout: balanced classes, so no intercept."""
    return LogisticRegression(
        C=C, solver="liblinear", fit_intercept=False, max_iter=1_000, random_state=0, **options
    )


def word_vectorizer(corpus: Corpus) -> TfidfVectorizer:
    """TF-IDF of word presence, single words and pairs, over both corpora's training texts."""

    def make() -> TfidfVectorizer:
        texts = corpus.imdb["train"]["text"][:] + corpus.reviews["train"]["text"][:]
        return TfidfVectorizer(binary=True, ngram_range=(1, 2), min_df=3).fit(texts)

    return corpus.once("word_vectorizer", make)


def space(corpus: Corpus, ratios: bool) -> Pipeline:
    """What a text becomes for every method that uses IMDB's labels: texts -> (texts, features).

    With `ratios`, each feature is scaled by its log-count ratio in IMDB.
    """
    words = word_vectorizer(corpus)

    def make() -> Pipeline:
        train = corpus.imdb["train"]
        scale = LogCountRatio(alpha=0.1)
        scale.fit(words.transform(train["text"][:]), np.array(train["label"][:]))
        return make_pipeline(words, scale)

    return corpus.once("scaled space", make) if ratios else make_pipeline(words)


def source_matrix(corpus: Corpus, ratios: bool) -> tuple[sparse.csr_matrix, np.ndarray]:
    """IMDB's training reviews: (texts, features) and labels (texts,)."""
    train = corpus.imdb["train"]
    labels = np.array(train["label"][:])
    make = space(corpus, ratios).transform
    return corpus.once(f"source matrix {ratios}", lambda: make(train["text"][:])), labels


def source_weights(corpus: Corpus, ratios: bool, C: float = 3.0) -> np.ndarray:
    """Weights learned from IMDB's labels alone, shape (features,)."""
    key = f"source weights {ratios} {C}"
    return corpus.once(key, lambda: linear(C).fit(*source_matrix(corpus, ratios)).coef_[0])


def _target(corpus: Corpus, labelled, ratios: bool) -> tuple[sparse.csr_matrix, np.ndarray]:
    labels = np.array(labelled["label"][:])
    return space(corpus, ratios).transform(labelled["text"][:]), labels


def _from_weights(corpus: Corpus, weights: np.ndarray, ratios: bool) -> Fitted:
    features = space(corpus, ratios)

    def predict(texts):
        return (features.transform(texts) @ weights > 0).astype(int)

    return Fitted(predict, weights.size, weights.size, weights.size * 4)


def _from_pipeline(pipeline, labelled) -> Fitted:
    pipeline.fit(labelled["text"][:], np.array(labelled["label"][:]))
    size = pipeline[-1].n_features_in_
    return Fitted(pipeline.predict, size, size, size * 4)


def naive_bayes(corpus, labelled, seed, pairs, alpha):
    """Multinomial naive Bayes on word presence."""
    counts = CountVectorizer(binary=True, ngram_range=(1, 2 if pairs else 1))
    return _from_pipeline(make_pipeline(counts, MultinomialNB(alpha=alpha)), labelled)


def tfidf_regression(corpus, labelled, seed, pairs, C):
    """TF-IDF and logistic regression."""
    tfidf = TfidfVectorizer(binary=True, ngram_range=(1, 2 if pairs else 1))
    return _from_pipeline(make_pipeline(tfidf, linear(C)), labelled)


def nb_svm(corpus, labelled, seed, characters, C):
    """Features scaled by naive Bayes ratios, then a linear model (Wang & Manning 2012).

    With logistic loss in place of the hinge, and TF-IDF weights in place of presence.
    """
    parts = [TfidfVectorizer(binary=True, ngram_range=(1, 2))]
    if characters:
        parts.append(TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True))
    pipeline = make_pipeline(make_union(*parts), LogCountRatio(alpha=0.1), linear(C))
    return _from_pipeline(pipeline, labelled)


def source_only(corpus, labelled, seed, ratios, C):
    """IMDB's labels, none of the target's."""
    model = linear(C).fit(*source_matrix(corpus, ratios))
    fitted = _from_weights(corpus, model.coef_[0], ratios)
    fitted.trainable_parameters = 0  # nothing is trained on the target
    return fitted


def pooled(corpus, labelled, seed, ratios, C=3.0, weight=1.0):
    """One model for both corpora, each target text counted `weight` times."""
    X, y = source_matrix(corpus, ratios)
    X_target, y_target = _target(corpus, labelled, ratios)
    counts = np.r_[np.ones(len(y)), np.full(len(y_target), weight)]
    both = sparse.vstack([X, X_target], format="csr")
    model = linear(C).fit(both, np.r_[y, y_target], sample_weight=counts)
    return _from_weights(corpus, model.coef_[0], ratios)


def augmented(corpus, labelled, seed, ratios, C):
    """Shared and separate copies of every feature (Daume 2007)."""
    X, y = source_matrix(corpus, ratios)
    X_target, y_target = _target(corpus, labelled, ratios)
    both = sparse.vstack([augment(X, "source"), augment(X_target, "target")], format="csr")
    shared, _, own = np.split(linear(C).fit(both, np.r_[y, y_target]).coef_[0], 3)
    fitted = _from_weights(corpus, shared + own, ratios)
    fitted.trainable_parameters = 3 * shared.size
    return fitted


def source_then_target(corpus, labelled, seed, ratios, strength):
    """Weights pulled towards those of the source (Chelba & Acero 2004)."""
    X, y = _target(corpus, labelled, ratios)
    model = PriorLogisticRegression(source_weights(corpus, ratios), strength).fit(X, y)
    return _from_weights(corpus, model.coef_, ratios)


def _grid(**axes) -> tuple[dict, ...]:
    """Every combination of two axes, in order: `_grid(C=(1, 3), weight=(1, 10))`."""
    (first, ones), (second, others) = axes.items()
    return tuple({first: a, second: b} for a in ones for b in others)


def _share_vectors(corpus, ratios, **configuration) -> None:
    source_matrix(corpus, ratios)


def _share_weights(corpus, ratios, **configuration) -> None:
    source_weights(corpus, ratios)


def _declare(name, fit, prepare=None, plan=SETTLED, **axes) -> Method:
    return Method(
        name,
        "classical",
        _grid(**axes),
        fit,
        plan,
        prepare,
        uses_source=prepare is not None,
    )


BOTH = (False, True)
METHODS = (
    _declare("naive Bayes", naive_bayes, pairs=BOTH, alpha=(1.0, 3.0, 10.0)),
    _declare("TF-IDF + LR", tfidf_regression, pairs=BOTH, C=(3.0, 10.0, 30.0)),
    _declare("NB-SVM", nb_svm, characters=BOTH, C=(1.0, 3.0, 10.0)),
    _declare(
        "source only", source_only, _share_vectors, NO_LABELS, ratios=BOTH, C=(1.0, 3.0, 10.0)
    ),
    _declare("pooled", pooled, _share_vectors, ratios=BOTH, C=(3.0, 10.0, 30.0)),
    _declare("weighted", pooled, _share_vectors, ratios=BOTH, weight=(10.0, 30.0, 100.0)),
    _declare("augmented", augmented, _share_vectors, ratios=BOTH, C=(1.0, 3.0, 10.0)),
    _declare(
        "source, then target",
        source_then_target,
        _share_weights,
        ratios=BOTH,
        strength=(0.03, 0.1, 0.3),
    ),
)
