"""Skip-gram vectors from unlabelled text, and the co-occurrence counts that GloVe starts from."""

import hashlib
import inspect
import io
import json
import os
from collections.abc import Iterable, Sequence

import numpy as np
from gensim.models import Word2Vec
from scipy import sparse
from tqdm.auto import tqdm

from helpers import assets
from helpers.embeddings.vectors import Embeddings
from helpers.files import write_bytes
from helpers.runtime import shows_progress
from helpers.words import recipe, tokenize

__all__ = ["cached_skipgram", "cooccurrence", "train_skipgram"]


def train_skipgram(
    token_lists: Sequence[Sequence[str]], dimensions: int = 100, window: int = 5,
    num_epochs: int = 3, min_count: int = 5, negative: int = 5, seed: int = 0,
    workers: int | None = None,
) -> Embeddings:  # fmt: skip
    """Learn word vectors from unlabelled text: skip-gram with negative sampling, by gensim.

    The method is that of Mikolov et al. (2013). A seed repeats the result only with `workers=1`,
    since several threads update in varying order.

    Args:
        window: furthest context word to either side.
        min_count: words seen less often get no vector.
        negative: random words that each true pair is compared with.
        workers: threads; None for one per processor, at most four.

    Raises:
        ValueError: if no word occurs `min_count` times.
    """
    options = {"window": window, "min_count": min_count, "negative": negative, "seed": seed}
    options["workers"] = workers or min(os.cpu_count() or 1, 4)
    model = Word2Vec(sg=1, vector_size=dimensions, epochs=num_epochs, **options)
    model.build_vocab(token_lists)
    if not len(model.wv):
        raise ValueError(
            f"No word occurs {min_count} times in {len(token_lists)} texts. Lower min_count."
        )
    texts = _Counted(token_lists, len(token_lists) * num_epochs)
    model.train(texts, total_examples=len(token_lists), epochs=num_epochs)
    texts.bar.close()
    return Embeddings(tuple(model.wv.index_to_key), model.wv.vectors.astype(np.float32))


def cached_skipgram(
    texts: Sequence[str], name: str = "imdb", seed: int = 0, **settings
) -> Embeddings:
    """Return skip-gram vectors of unlabelled texts, trained on first use and then kept.

    They are kept in the cache folder under `derived/`. A change of the texts, of tokenization or of
    a setting of `train_skipgram` trains again.
    """
    asked = inspect.signature(train_skipgram).bind([], seed=seed, **settings)
    asked.apply_defaults()
    digest = hashlib.sha256("\0".join(texts).encode("utf-8"))
    digest.update(json.dumps([asked.arguments, *recipe()], sort_keys=True).encode("utf-8"))
    file = f"{name}-skipgram-{len(texts)}-{digest.hexdigest()[:16]}.npz"
    path = assets.cache_dir() / "derived" / file
    if path.exists():
        with np.load(path, allow_pickle=False) as kept:
            return Embeddings(tuple(kept["words"].tolist()), kept["matrix"])
    trained = train_skipgram([tokenize(text) for text in texts], seed=seed, **settings)
    content = io.BytesIO()
    np.savez(content, words=np.array(trained.words), matrix=trained.matrix)
    write_bytes(path, content.getvalue())
    return trained


def cooccurrence(token_lists: Iterable[Sequence[str]], vocabulary: Sequence[str], window: int = 10):
    """Count which words occur near which, as a symmetric sparse matrix (V, V).

    A pair d words apart counts 1/d (GloVe, section 3.1). Words outside the vocabulary (V words) are
    removed first, as in GloVe's own program. A pair lies within one text, at most `window` apart.
    """
    row_of = {word: row for row, word in enumerate(vocabulary)}
    texts = [[row_of[word] for word in tokens if word in row_of] for tokens in token_lists]
    words = np.array([row for text in texts for row in text], dtype=int)
    text_of = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
    total = sparse.csr_matrix((len(row_of), len(row_of)))
    for distance in range(1, min(window, max(len(words) - 1, 0)) + 1):
        together = text_of[:-distance] == text_of[distance:]
        left, right = words[:-distance][together], words[distance:][together]
        each = np.full(len(left), 1 / distance)
        total = total + sparse.csr_matrix((each, (left, right)), shape=total.shape)
    return (total + total.T).tocsr()


class _Counted:
    """Texts that gensim may read several times, with one progress bar over all passes."""

    def __init__(self, token_lists, total: int):
        self.token_lists = token_lists
        self.bar = tqdm(total=total, desc="skip-gram", unit=" texts", disable=not shows_progress())

    def __iter__(self):
        for tokens in self.token_lists:
            self.bar.update()
            yield tokens
