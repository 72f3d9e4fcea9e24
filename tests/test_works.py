"""What is cited stands in one file, complete, and lessons cite it as it stands there."""

import json
import re
from itertools import pairwise

import pytest

from helpers import history, ledger
from helpers.history.works import TITLES, Work, load_works
from helpers.runtime import ROOT

WORKS = load_works()
LESSONS = sorted((ROOT / "notebooks").rglob("*.ipynb"))
PAGES = [ROOT / "README.md", ROOT / "INSTRUCTORS.md", *sorted((ROOT / "data").rglob("*.md"))]
ON_PAPER = {"Das & Chen", "Firth", "Gage"}
"""Works for which no number and no address that lasts was found."""

NAME = r"[A-ZÀ-Þ][\w’'\-]+"
PEOPLE = rf"{NAME}(?:(?:,? | & | and ){NAME})*(?: et al\.)?"
CITED = re.compile(rf"\b({PEOPLE}),? \(?((?:19|20)\d\d)[a-z]?\b(?!-)")
REFERENCE = re.compile(r"^- (?P<who>.+?) \((?P<year>\d{4})[a-z]?\)\. \*(?P<title>.+?)\*", re.M)
NO_PEOPLE = {
    "BERT": "a heading with its year",
    "By": "a sentence that begins with a year",
    "ICLR": "a conference",
    "In": "a sentence that begins with a year",
    "NB-SVM": "a method with its year",
}
"""First words that look like an author before a year, and what they are."""


def prose_of(path) -> str:
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text
    cells = json.loads(text)["cells"]
    return "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")


def surname(work: Work) -> str:
    """The first author's, as printed: `Ben Zaken et al.` are cited by `Ben Zaken`."""
    return re.split(r",| & | et al\.| III", work.who)[0]


def missing_from(prose: str) -> list[str]:
    """What a text cites as "Author Year" or "Author (Year)" and no work answers to."""
    found = [(m[1], int(m[2])) for m in CITED.finditer(REFERENCE.sub("", prose))]
    return [
        f"{people} {year}"
        for people, year in found
        if people.split()[0] not in NO_PEOPLE
        and not any(year in (work.year, work.posted) and surname(work) in people for work in WORKS)
    ]


@pytest.mark.parametrize("work", WORKS, ids=lambda w: f"{w.who} {w.year}")
def test_a_work_is_complete(work):
    assert work.era in TITLES
    assert all(text == text.strip() != "" for text in (work.who, work.title, work.venue, work.what))
    assert len(work.what.split()) <= 8
    assert not work.title.endswith(".")
    assert work.posted is None or work.posted < work.year
    assert work.url.startswith("https://") != (work.who in ON_PAPER)


def test_works_stand_in_the_order_of_their_years_within_an_era_and_none_twice():
    for era in TITLES:
        years = [work.first for work in WORKS if work.era == era]
        assert years, f"{era} has no work"
        assert all(a <= b for a, b in pairwise(years)), f"{era} is not in order: {years}"
    titles = [work.title.casefold() for work in WORKS]
    assert sorted(titles) == sorted(set(titles))


def test_numbers_of_arxiv_say_the_same_year():
    for work in WORKS:
        if work.at.startswith("arXiv:"):
            assert 2000 + int(work.at[6:8]) == work.first, work.at


def test_every_era_of_the_ledger_has_works_in_the_timeline_up_to_2025():
    spans = history.spans(work for work in WORKS if work.shown)
    assert list(spans) == [*ledger.ERAS, "rewards"]
    assert min(first for first, _ in spans.values()) == 1993
    assert max(last for _, last in spans.values()) == 2025


def test_the_table_gives_all_works_or_those_of_an_era():
    table = history.works_table()
    assert len(table) == len(WORKS)
    lora = table[table["who"].eq("Hu et al.")].iloc[0]
    assert (lora["posted"], lora["published"]) == (2021, 2022)
    assert lora["where"] == "https://arxiv.org/abs/2106.09685"
    assert set(history.works_table("rewards")["era"]) == {TITLES["rewards"]}


@pytest.mark.parametrize("path", [*LESSONS, *PAGES], ids=lambda p: p.relative_to(ROOT).as_posix())
def test_whoever_is_cited_stands_among_the_works(path):
    assert missing_from(prose_of(path)) == []


def test_evidence_for_claims_is_cited_from_the_works():
    assert missing_from("\n".join(claim.published for claim in history.CLAIMS)) == []


@pytest.mark.parametrize("path", LESSONS, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_lists_of_references_agree_with_the_works(path):
    titles = {work.title.casefold(): work for work in WORKS}
    for match in REFERENCE.finditer(prose_of(path)):
        work = titles.get(match["title"].rstrip(".").casefold())
        assert work is not None, f"not among the works: {match[0]}"
        assert int(match["year"]) in (work.year, work.posted), match[0]
        assert surname(work) in match["who"], match[0]


def test_a_citation_of_nobody_is_found():
    assert missing_from("Nobody et al. (2019) say so; see Devlin et al. 2019.") == [
        "Nobody et al. 2019"
    ]
    assert missing_from("Two roads (Dai & Le 2014; Nobody & Noone 2020)") == [
        "Dai & Le 2014",
        "Nobody & Noone 2020",
    ]
