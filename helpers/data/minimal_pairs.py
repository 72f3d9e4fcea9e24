"""Grammar in pairs of sentences: one is right, the other differs by a word and is wrong.

A model that gives the right sentence the higher probability knows the rule, whether or not it was
ever taught to follow instructions. `data/minimal_pairs/README.md` says how the pairs were made.
"""

from pathlib import Path

from helpers.data.stored import json_object, stored_lines
from helpers.runtime import ROOT, Profile

__all__ = ["load_minimal_pairs"]

FILE = ROOT / "data" / "minimal_pairs" / "pairs.jsonl"
COLUMNS = ("phenomenon", "good", "bad")


def load_minimal_pairs(profile: Profile | None = None, path: Path = FILE):
    """Load the pairs that ask whether a language model kept its grammar, in a fixed order.

    Args:
        profile: if given, its `heldout_rows` cuts the list (for tests). Each phenomenon then keeps
            its first pairs, as many as the others or one more.
        path: another file of the same form.

    Returns:
        A Dataset of 120 pairs with the columns `phenomenon` (12 of them, 10 pairs each), `good`
        and `bad` (sentences).

    Raises:
        FileNotFoundError: if there is no such file; the message names it and the remedy.
        ValueError: if a line is not a pair, or there is none; the message names file and line.
    """
    from datasets import Dataset, Features, Value

    lines = stored_lines(path, "minimal_pairs")
    pairs = [_pair(line, f"{path}, line {n}") for n, line in lines if line.strip()]
    if not pairs:
        raise ValueError(f"{path} holds no pair. `git checkout data/minimal_pairs` brings it back.")
    if profile and profile.heldout_rows is not None:
        pairs = _varied(pairs, profile.heldout_rows)
    return Dataset.from_list(pairs, features=Features(dict.fromkeys(COLUMNS, Value("string"))))


def _pair(line: str, place: str) -> dict[str, str]:
    """Read one line, or say where and in what it is no pair."""
    pair = json_object(line, place)
    if set(pair) != set(COLUMNS):
        found = ", ".join(map(str, pair))
        raise ValueError(f"{place}: needs exactly the keys {', '.join(COLUMNS)}; it has {found}.")
    for key in COLUMNS:
        if not isinstance(pair[key], str) or not pair[key].strip():
            raise ValueError(f"{place}: {key} is {pair[key]!r}; give a text that is not empty.")
    if pair["good"] == pair["bad"]:
        raise ValueError(f"{place}: good and bad are the same sentence; one must be wrong.")
    return pair


def _varied(pairs: list[dict], n: int) -> list[dict]:
    """Keep `n` pairs in their order, as evenly over the phenomena as can be."""
    seen, ranks = {}, []
    for i, pair in enumerate(pairs):
        rank = seen[pair["phenomenon"]] = seen.get(pair["phenomenon"], 0) + 1
        ranks.append((rank, i))
    return [pairs[i] for i in sorted(i for _, i in sorted(ranks)[:n])]
