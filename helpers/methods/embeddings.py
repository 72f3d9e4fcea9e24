"""Methods of 2013 to 2015: word vectors, averaged or as the first layer of a network."""

from functools import partial

from sklearn.linear_model import LogisticRegression

from helpers import embeddings, networks, pretrained
from helpers.methods import Corpus, Fitted, Method, common, seeds

__all__ = ["METHODS", "new_textcnn", "word_weights"]


def glove(corpus: Corpus) -> embeddings.Embeddings:
    """GloVe 6B, restricted to the shared vocabulary."""
    words = common.vocabulary(corpus).words
    return corpus.once("glove", lambda: embeddings.load_glove().restrict(words))


def skipgram(corpus: Corpus) -> embeddings.Embeddings:
    """Skip-gram vectors of IMDB's training reviews, labels unread."""
    make = embeddings.cached_skipgram
    return corpus.once("skipgram", lambda: make(corpus.imdb["train"]["text"][:]))


def word_weights(corpus: Corpus) -> dict[str, float]:
    """Inverse frequency of each word in the training texts of both corpora, labels unread."""
    make = embeddings.inverse_frequencies
    return corpus.once("word_weights", lambda: make(common.training_texts(corpus)))


def averaged(corpus, labelled, seed, idf, C, load) -> Fitted:
    """Logistic regression on mean word vectors."""
    vectors, weights = load(corpus), word_weights(corpus) if idf else None
    read = partial(embeddings.average, embeddings=vectors, weights=weights)
    model = LogisticRegression(C=C, max_iter=2_000)
    return common.probe(read, labelled, model, vectors.matrix.size)


def new_textcnn(corpus: Corpus, seed: int, freeze_embeddings: bool = False) -> networks.TextCNN:
    """A TextCNN whose word vectors are IMDB's skip-gram vectors (Kim 2014)."""
    words = common.vocabulary(corpus).words
    matrix, _ = embeddings.embedding_matrix(words, skipgram(corpus), seed)
    options = {"embeddings": matrix, "freeze_embeddings": freeze_embeddings}
    with pretrained.seeded(seed):
        return networks.TextCNN(len(words), **options)


def textcnn(corpus, labelled, seed, freeze_embeddings=False, **settings) -> Fitted:
    """TextCNN on skip-gram vectors, tuned or frozen."""
    model = new_textcnn(corpus, seed, freeze_embeddings)
    return common.fit_words(corpus, model, labelled, seed, **settings)


def _share(corpus, idf=False, load=skipgram, **configuration) -> None:
    common.vocabulary(corpus)
    load(corpus)
    if idf:
        word_weights(corpus)


def _averaged(name, load) -> Method:
    tried = common.combinations(idf=(False, True), C=(0.3, 1.0, 3.0))
    fit, prepare = partial(averaged, load=load), partial(_share, load=load)
    return Method(name, "embeddings", tried, fit, seeds.SETTLED, prepare)


def _network(name, fit) -> Method:
    return Method(name, "embeddings", common.CNN, fit, seeds.EVERY, _share)


METHODS = (
    _averaged("averaged GloVe", glove),
    _averaged("averaged skip-gram", skipgram),
    _network("TextCNN, random vectors", common.cnn_from_scratch),
    _network("TextCNN, static skip-gram", partial(textcnn, freeze_embeddings=True)),
    _network("TextCNN, tuned skip-gram", textcnn),
)
