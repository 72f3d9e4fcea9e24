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
from sklearn.pipeline import make_pipeline, make_union

from helpers.experiments import Corpus, Fitted, Method
from helpers.features import LogCountRatio, PriorLogisticRegression, augment

__all__ = ["METHODS", "source_matrix", "source_weights", "word_vectorizer"]

NOTEBOOK = "01_classical_ml"


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


def source_matrix(corpus: Corpus) -> tuple[sparse.csr_matrix, np.ndarray]:
    """IMDB's training reviews: (texts, features) and labels (texts,)."""

    def make():
        train = corpus.imdb["train"]
        return word_vectorizer(corpus).transform(train["text"][:]), np.array(train["label"][:])

    return corpus.once("source_matrix", make)


def source_weights(corpus: Corpus, C: float) -> np.ndarray:
    """Weights learned from IMDB's labels alone, shape (features,)."""
    return corpus.once(
        f"source_weights {C}", lambda: linear(C).fit(*source_matrix(corpus)).coef_[0]
    )


def _target(corpus: Corpus, labelled) -> tuple[sparse.csr_matrix, np.ndarray]:
    texts = labelled["text"][:]
    return word_vectorizer(corpus).transform(texts), np.array(labelled["label"][:])


def _from_weights(corpus: Corpus, weights: np.ndarray) -> Fitted:
    vectorizer = word_vectorizer(corpus)

    def predict(texts):
        return (vectorizer.transform(texts) @ weights > 0).astype(int)

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


def source_only(corpus, labelled, seed, C, ratios):
    """IMDB's labels, none of the target's."""
    X, y = source_matrix(corpus)
    scale = LogCountRatio(alpha=0.1).fit(X, y) if ratios else None
    weights = linear(C).fit(scale.transform(X) if ratios else X, y).coef_[0]
    fitted = _from_weights(corpus, weights * scale.ratio_ if ratios else weights)
    fitted.trainable_parameters = 0  # nothing is trained on the target
    return fitted


def pooled(corpus, labelled, seed, C, weight):
    """One model for both corpora, each target text counted `weight` times."""
    X, y = source_matrix(corpus)
    X_target, y_target = _target(corpus, labelled)
    counts = np.r_[np.ones(len(y)), np.full(len(y_target), weight)]
    both = sparse.vstack([X, X_target], format="csr")
    model = linear(C).fit(both, np.r_[y, y_target], sample_weight=counts)
    return _from_weights(corpus, model.coef_[0])


def augmented(corpus, labelled, seed, C, weight):
    """Shared and separate copies of every feature (Daume 2007)."""
    X, y = source_matrix(corpus)
    X_target, y_target = _target(corpus, labelled)
    counts = np.r_[np.ones(len(y)), np.full(len(y_target), weight)]
    both = sparse.vstack([augment(X, "source"), augment(X_target, "target")], format="csr")
    model = linear(C).fit(both, np.r_[y, y_target], sample_weight=counts)
    shared, _, own = np.split(model.coef_[0], 3)
    fitted = _from_weights(corpus, shared + own)
    fitted.trainable_parameters = 3 * shared.size
    return fitted


def source_then_target(corpus, labelled, seed, source_C, strength):
    """Weights pulled towards those of the source (Chelba & Acero 2004)."""
    X, y = _target(corpus, labelled)
    model = PriorLogisticRegression(source_weights(corpus, source_C), strength).fit(X, y)
    return _from_weights(corpus, model.coef_)


def _grid(**axes) -> tuple[dict, ...]:
    """Every combination of two axes, in order: `_grid(C=(1, 3), weight=(1, 10))`."""
    (first, ones), (second, others) = axes.items()
    return tuple({first: a, second: b} for a in ones for b in others)


def _declare(name, fit, source=False, target=True, **axes) -> Method:
    return Method(
        "classical", name, _grid(**axes), fit, source, target, random=False, notebook=NOTEBOOK
    )


METHODS = (
    _declare("naive Bayes", naive_bayes, pairs=(False, True), alpha=(0.3, 1.0, 3.0)),
    _declare("TF-IDF + LR", tfidf_regression, pairs=(False, True), C=(1.0, 3.0, 10.0)),
    _declare("NB-SVM", nb_svm, characters=(False, True), C=(0.3, 1.0, 3.0)),
    _declare("source only", source_only, True, False, ratios=(False, True), C=(1.0, 3.0, 10.0)),
    _declare("pooled", pooled, True, C=(0.3, 1.0, 3.0, 10.0, 30.0, 100.0), weight=(1.0,)),
    _declare("weighted", pooled, True, C=(1.0, 3.0), weight=(3.0, 10.0, 30.0)),
    _declare("augmented", augmented, True, C=(0.3, 1.0, 3.0), weight=(1.0, 5.0)),
    _declare(
        "source, then target",
        source_then_target,
        True,
        source_C=(1.0, 3.0),
        strength=(0.1, 0.3, 1.0),
    ),
)
