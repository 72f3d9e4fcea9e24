"""Methods from before 2010: counts and linear models, with and without a second corpus.

Vocabulary and document frequencies are computed once, from all training texts of both corpora
without their labels: unlabelled text counts as no label.
"""

import numpy as np
from datasets import Dataset
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import Pipeline, make_pipeline, make_union

from helpers.features import LogCountRatio, PriorLogisticRegression, augment
from helpers.methods import Corpus, Fitted, Method, common, seeds

__all__ = ["METHODS", "source_matrix", "source_weights", "space", "word_vectorizer"]

BOTH = (False, True)


def linear(C: float) -> LogisticRegression:
    """Logistic regression as used throughout: balanced classes, so no intercept."""
    return LogisticRegression(
        C=C, solver="liblinear", fit_intercept=False, max_iter=1_000, random_state=0
    )


def word_vectorizer(corpus: Corpus) -> TfidfVectorizer:
    """TF-IDF of word presence, single words and pairs, over both corpora's training texts."""
    vectorizer = TfidfVectorizer(binary=True, ngram_range=(1, 2), min_df=3)
    return corpus.once("word_vectorizer", lambda: vectorizer.fit(common.training_texts(corpus)))


def space(corpus: Corpus, ratios: bool) -> Pipeline:
    """The features of every method that uses IMDB's labels: texts -> (texts, features).

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
    key = f"source matrix {ratios}"
    return corpus.once(key, lambda: _matrix(corpus, train, ratios)), np.array(train["label"][:])


def source_weights(corpus: Corpus, ratios: bool, C: float = 3.0) -> np.ndarray:
    """Weights learned from IMDB's labels alone: (features,)."""
    key = f"source weights {ratios} {C}"
    return corpus.once(key, lambda: linear(C).fit(*source_matrix(corpus, ratios)).coef_[0])


def _matrix(corpus: Corpus, split: Dataset, ratios: bool) -> sparse.csr_matrix:
    return space(corpus, ratios).transform(split["text"][:])


def _from_weights(
    corpus: Corpus, weights: np.ndarray, ratios: bool, trained: int | None = None
) -> Fitted:
    """Label a text by the sign of its weighted features; by default all count as trained."""
    features = space(corpus, ratios)

    def predict(texts) -> np.ndarray:
        return (features.transform(texts) @ weights > 0).astype(int)

    size = weights.size
    return Fitted(predict, size if trained is None else trained, size, size * 4)


def _from_pipeline(labelled: Dataset, *steps) -> Fitted:
    pipeline = make_pipeline(*steps).fit(labelled["text"][:], np.array(labelled["label"][:]))
    size = pipeline[-1].n_features_in_
    return Fitted(pipeline.predict, size, size, size * 4)


def naive_bayes(corpus, labelled, seed, pairs, alpha) -> Fitted:
    """Multinomial naive Bayes on word presence."""
    counts = CountVectorizer(binary=True, ngram_range=(1, 2 if pairs else 1))
    return _from_pipeline(labelled, counts, MultinomialNB(alpha=alpha))


def tfidf_regression(corpus, labelled, seed, pairs, C) -> Fitted:
    """TF-IDF and logistic regression."""
    tfidf = TfidfVectorizer(binary=True, ngram_range=(1, 2 if pairs else 1))
    return _from_pipeline(labelled, tfidf, linear(C))


def nb_svm(corpus, labelled, seed, characters, C) -> Fitted:
    """Linear model on features scaled by naive Bayes log-count ratios (Wang & Manning 2012).

    With logistic loss in place of the hinge, and TF-IDF weights in place of presence.
    """
    parts = [TfidfVectorizer(binary=True, ngram_range=(1, 2))]
    if characters:
        parts.append(TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True))
    return _from_pipeline(labelled, make_union(*parts), LogCountRatio(alpha=0.1), linear(C))


def source_only(corpus, labelled, seed, ratios, C) -> Fitted:
    """Linear model of IMDB's labels, with none of the target's."""
    model = linear(C).fit(*source_matrix(corpus, ratios))
    return _from_weights(corpus, model.coef_[0], ratios, trained=0)  # nothing on the target


def pooled(corpus, labelled, seed, ratios, C=3.0, weight=1.0) -> Fitted:
    """One model for both corpora, each target text weighted by `weight`."""
    X, y = source_matrix(corpus, ratios)
    counts = np.r_[np.ones(len(y)), np.full(len(labelled), weight)]
    both = sparse.vstack([X, _matrix(corpus, labelled, ratios)], format="csr")
    model = linear(C).fit(both, np.r_[y, labelled["label"][:]], sample_weight=counts)
    return _from_weights(corpus, model.coef_[0], ratios)


def augmented(corpus, labelled, seed, ratios, C) -> Fitted:
    """Shared and separate copies of every feature (Daumé III 2007)."""
    X, y = source_matrix(corpus, ratios)
    target = augment(_matrix(corpus, labelled, ratios), "target")
    both = sparse.vstack([augment(X, "source"), target], format="csr")
    weights = linear(C).fit(both, np.r_[y, labelled["label"][:]]).coef_[0]
    shared, _, own = np.split(weights, 3)
    return _from_weights(corpus, shared + own, ratios, trained=weights.size)


def source_then_target(corpus, labelled, seed, ratios, strength) -> Fitted:
    """Weights pulled towards those of the source (Chelba & Acero 2004)."""
    model = PriorLogisticRegression(source_weights(corpus, ratios), strength)
    model.fit(_matrix(corpus, labelled, ratios), np.array(labelled["label"][:]))
    return _from_weights(corpus, model.coef_, ratios)


def _share_vectors(corpus, ratios, **configuration) -> None:
    source_matrix(corpus, ratios)


def _share_weights(corpus, ratios, **configuration) -> None:
    source_weights(corpus, ratios)


def _own(name, fit, **axes) -> Method:
    """A method of target labels alone."""
    return Method(name, "classical", common.combinations(**axes), fit, seeds.SETTLED)


def _with_source(name, fit, prepare=_share_vectors, plan=seeds.SETTLED, **axes) -> Method:
    tried = common.combinations(ratios=BOTH, **axes)
    return Method(name, "classical", tried, fit, plan, prepare, uses_source=True)


METHODS = (
    _own("naive Bayes", naive_bayes, pairs=BOTH, alpha=(1.0, 3.0, 10.0)),
    _own("TF-IDF + LR", tfidf_regression, pairs=BOTH, C=(3.0, 10.0, 30.0)),
    _own("NB-SVM", nb_svm, characters=BOTH, C=(1.0, 3.0, 10.0)),
    _with_source("source only", source_only, plan=seeds.NO_LABELS, C=(1.0, 3.0, 10.0)),
    _with_source("pooled", pooled, C=(3.0, 10.0, 30.0)),
    _with_source("weighted", pooled, weight=(10.0, 30.0, 100.0)),
    _with_source("augmented", augmented, C=(1.0, 3.0, 10.0)),
    _with_source(
        "source, then target", source_then_target, _share_weights, strength=(0.03, 0.1, 0.3)
    ),
)
