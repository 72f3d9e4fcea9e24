"""Exercises of `word_embeddings`: cosine, a weighted mean, a direction taken out."""

import numpy as np

from helpers.lessons.exercise import Exercise, Slip

__all__ = ["EXERCISES"]

# --- cosine


def cosine(a, b):
    """The cosine of the angle between two vectors."""
    return a @ b / (np.linalg.norm(a) * np.linalg.norm(b))


def _squared_lengths(a, b):
    return a @ b / ((a @ a) * (b @ b))


def _distance(a, b):
    return 1 - cosine(a, b)


def _pairs(*pairs):
    return tuple((np.array(a), np.array(b)) for a, b in pairs)


COSINE = Exercise(
    id="embeddings.cosine",
    solution=cosine,
    cases=_pairs(([3.0, 0.5], [2.0, 1.0]), ([1.0, 2.0], [-2.0, 1.0]), ([1.0, 0.2], [-5.0, 3.0])),
    slips=(
        Slip("that is the dot product; divide it by both lengths", lambda a, b: a @ b),
        Slip("divide by both lengths, not by one", lambda a, b: a @ b / np.linalg.norm(a)),
        Slip("a length is the root of the sum of squares", _squared_lengths),
        Slip("that is the distance, one minus the cosine", _distance),
    ),
    refused=(lambda a, b: abs(cosine(a, b)),),
    help="`np.linalg.norm` is the length of a vector; divide the dot product by both.",
    praise="Only the direction counts, not the length.",
)

# --- a weighted mean of word vectors


def weighted_average(words, vectors, weights, dimensions):
    """Each known word's vector counts by its weight, every time it occurs."""
    known = [word for word in words if word in vectors]
    if not known:
        return np.zeros(dimensions)
    total = sum(weights[word] for word in known)
    return sum(weights[word] * vectors[word] for word in known) / total


def _unknown_counted(words, vectors, weights, dimensions):
    found = weighted_average(words, vectors, weights, dimensions)
    known = sum(weights[word] for word in words if word in vectors)
    return found * known / max(sum(weights.get(word, 0) for word in words), 1e-9)


def _plain(words, vectors, weights, dimensions):
    return weighted_average(words, vectors, dict.fromkeys(weights, 1.0), dimensions)


def _once(words, vectors, weights, dimensions):
    return weighted_average(list(dict.fromkeys(words)), vectors, weights, dimensions)


def _all_words(words, vectors, weights, dimensions):
    return weighted_average(list(vectors), vectors, weights, dimensions)


def _not_divided(words, vectors, weights, dimensions):
    known = [weights[word] * vectors[word] for word in words if word in vectors]
    return sum(known, np.zeros(dimensions))


def _by_words(words, vectors, weights, dimensions):
    return _not_divided(words, vectors, weights, dimensions) / max(1, len(words))


FLAT = {"good": [1.0, 0.0], "the": [0.0, 1.0], "film": [0.5, -1.0]}
DEEP = {"good": [1.0, 0.0, 2.0], "the": [0.0, 1.0, 1.0], "cast": [-1.0, 3.0, 0.5]}
LIGHT, HEAVY = (
    {"good": 3.0, "the": 1.0, "film": 2.0, "cast": 4.0, "unheard": 9.0},
    {"good": 2.0, "the": 0.5, "film": 5.0, "cast": 7.0, "unheard": 1.5},
)


def _text(words, vectors, weights):
    vectors = {word: np.array(vector) for word, vector in vectors.items()}
    return words.split(), vectors, weights, len(vectors["the"])


AVERAGE = Exercise(
    id="embeddings.average",
    solution=weighted_average,
    cases=(
        _text("the good the", FLAT, LIGHT),
        _text("the good unheard", FLAT, HEAVY),
        _text("cast the cast good cast", DEEP, LIGHT),
        _text("unheard", DEEP, LIGHT),
    ),
    slips=(
        Slip(
            "a word without a vector must not count in the sum of weights either", _unknown_counted
        ),
        Slip("that is the plain mean; each word should count by its weight", _plain),
        Slip("a word that stands there twice counts twice", _once),
        Slip("take the words of the text, not all that have a vector", _all_words),
        Slip("divide the weighted sum by the sum of the weights", _not_divided),
        Slip("divide by the sum of the weights, not by the number of words", _by_words),
    ),
    help="Pass over words without a vector; sum weight times vector; divide by the weights used.",
    praise="With inverse document frequencies as weights, `the` hardly speaks.",
)

# --- a direction taken out


def without_direction(matrix, direction):
    """Each row minus its projection on the direction."""
    unit = direction / np.linalg.norm(direction)
    return matrix - np.outer(matrix @ unit, unit)


def _projection(matrix, direction):
    return matrix - without_direction(matrix, direction)


def _twice(matrix, direction):
    return matrix - 2 * _projection(matrix, direction)


def _not_unit(matrix, direction):
    return matrix - np.outer(matrix @ direction, direction)


def _whole(matrix, direction):
    return matrix - direction


def _matrix(rows, columns):
    rng = np.random.default_rng(rows)
    return rng.normal(size=(rows, columns)), rng.normal(size=columns) * 3


DIRECTION = Exercise(
    id="embeddings.direction",
    solution=without_direction,
    cases=(_matrix(6, 4), _matrix(3, 5)),
    slips=(
        Slip("that is the part along the direction; keep the rest", _projection),
        Slip("the part along the direction is taken away twice: rows are mirrored", _twice),
        Slip("divide the direction by its length first", _not_unit),
        Slip("take from each row its own part along the direction, not all of it", _whole),
    ),
    help="With `unit` of length one, row i loses `(matrix[i] @ unit) * unit`; np.outer does all.",
    praise="A projection removes the direction, not everything that is correlated with it.",
)

EXERCISES = (COSINE, AVERAGE, DIRECTION)
