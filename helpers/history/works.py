"""Who published what, and when: the works behind the lessons and their timeline."""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from helpers.runtime import ROOT

__all__ = ["TITLES", "Work", "load_works", "spans", "works_table"]

FILE = ROOT / "data" / "works.toml"
TITLES = {
    "classical": "Classical ML",
    "pretraining": "Pre-training",
    "embeddings": "Word vectors",
    "bert": "Encoders",
    "gpt": "Decoders, prompts",
    "lora": "Few parameters",
    "rewards": "From instructions to rewards",
    "beside": "Data, statistics, tools",
}
"""The eras of the ledger, what came beside them, and works that belong to none."""

SITES = {
    "arXiv": "https://arxiv.org/abs/",
    "acl": "https://aclanthology.org/",
    "doi": "https://doi.org/",
}


@dataclass(frozen=True)
class Work:
    """A publication.

    Attributes:
        era: one of `TITLES`.
        year: of publication, by which lessons cite it.
        who: the authors as lessons print them.
        what: what it contributed, in a few words.
        posted: the year in which it could first be read, where that is an earlier one.
        at: arXiv, ACL Anthology or DOI number (`"arXiv:2106.09685"`), or an address; empty for
            what is on paper only.
        shown: named in the timeline.
    """

    era: str
    year: int
    who: str
    title: str
    venue: str
    what: str
    posted: int | None = None
    at: str = ""
    shown: bool = False

    @property
    def first(self) -> int:
        """The year in which it could first be read."""
        return self.posted or self.year

    @property
    def url(self) -> str:
        """Where to read it; empty for what is on paper only."""
        kind, _, number = self.at.partition(":")
        return SITES[kind] + number if kind in SITES else self.at


def load_works(path: Path = FILE) -> tuple[Work, ...]:
    """All works, by era and by the year in which they could first be read."""
    eras = tomllib.loads(path.read_text(encoding="utf-8"))
    return tuple(Work(era, **entry) for era, entries in eras.items() for entry in entries)


def spans(works: Iterable[Work]) -> dict[str, tuple[int, int]]:
    """{era: first and last year in which one of these works could first be read}."""
    years: dict[str, list[int]] = {}
    for work in works:
        years.setdefault(work.era, []).append(work.first)
    return {era: (min(found), max(found)) for era, found in years.items()}


def works_table(*eras: str) -> pd.DataFrame:
    """All works, or those of some eras (see `TITLES`), one a row, with where to read them."""
    chosen = [work for work in load_works() if not eras or work.era in eras]
    rows = [
        (TITLES[w.era], w.first, w.year, w.who, w.title, w.venue, w.what, w.url) for w in chosen
    ]
    names = ("era", "posted", "published", "who", "title", "venue", "contribution", "where")
    return pd.DataFrame(rows, columns=names)
