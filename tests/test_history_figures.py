"""The figures of the history are drawn from whatever there is, and say in words what they show."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pytest
from test_history import grid, priced, results, row, spans, supported_rows

from helpers import HOUSE_STYLE, history, plots
from helpers.plots import history as pictures
from helpers.plots import pages


@pytest.fixture
def shown(monkeypatch):
    """(description, caption) of every figure."""
    calls = []
    original = plots.show

    def spy(figure, alt, caption=""):
        calls.append((alt, caption))
        original(figure, alt, caption)

    monkeypatch.setattr("IPython.display.display", lambda *a, **k: None)
    for module in (pictures, pages):
        monkeypatch.setattr(module, "show", spy)
    matplotlib.style.use(HOUSE_STYLE)
    return calls


def draw(shelf, own=None):
    """The history figure of some results."""
    source = history.curves(shelf, history.SOURCE_LINES)
    pictures.history_figure(
        history.curves(shelf),
        source,
        items=200,
        source_labels=9,
        own=history.points_of(own) if own else (),
    )


def test_your_rows_are_rings_over_the_reference(shown):
    rows = grid({("NB-SVM", 32): 0.6, ("NB-SVM", 6_398): 0.8})
    draw(results(rows), results(grid({("NB-SVM", 32): 0.5, ("decoder + LoRA", 320): 0.8})))
    draw(results(rows), results([]))
    (alt, with_rings), (_, without) = shown
    assert "until 2010: counts from 0.600 with 32 labels to 0.800 with 6,398" in alt
    assert "Rings: your own runs." in with_rings and "NB-SVM" in with_rings
    assert "Rings" not in without


def test_every_figure_is_drawn_without_any_row_at_all(shown):
    draw(results([]))
    pictures.names_figure(history.curves(results([]), history.NAMES, history.FILM_NER), items=0)
    pages.verdicts_figure(history.judge_all(results([])))
    assert len(shown) == 3


def test_eras_differ_in_marker_and_dash_and_not_only_in_shade():
    styles = [pictures.line_style(era) for era in history.ERA_NAMES]
    assert len({style["marker"] for style in styles}) == len(styles)
    assert len({str(style["linestyle"]) for style in styles}) == len(styles)


def test_names_of_lines_do_not_cover_each_other(shown):
    figure, axes = plt.subplots(figsize=(8, 5))
    axes.set_ylim(0.5, 0.9)
    ends = [(1.0, 0.80 + i / 1_000, f"line {i}", "black") for i in range(6)]
    pictures.name_ends(axes, ends, 1.0)
    places = sorted(t.xyann[1] for t in axes.texts)
    pixels = [axes.transData.transform((0, y))[1] for y in places]
    size = pictures.LETTERS * figure.dpi / 72
    assert min(b - a for a, b in zip(pixels, pixels[1:], strict=False)) > size


def test_prices_of_nothing_stand_at_the_left_edge_of_a_logarithmic_axis(shown):
    rows = priced("NB-SVM", 320, 0.6, 0.0, trainable_parameters=0, artefact_bytes=0)
    option = history.option_at(results(rows), history.At("NB-SVM", 320))
    pictures.costs_figure([("NB-SVM", option)], labels=320, items=200)
    assert "NB-SVM 0.600 for 0 numbers trained" in shown[0][0]


def test_names_are_drawn_by_era(shown):
    rows = [row("CRF on features", 32, 0, spans(50), task=history.FILM_NER, era="classical")]
    pictures.names_figure(history.curves(results(rows), history.NAMES, history.FILM_NER), items=100)
    assert "2003: a CRF from 0.667" in shown[0][0]


def test_verdicts_are_drawn_with_the_border_of_each_claim(shown):
    pages.verdicts_figure(history.judge_all(results(supported_rows())))
    alt = shown[0][0]
    assert "C12 +20.0 points" in alt and "claimed right of +10: whole" in alt
    assert "claimed left of +10: whole" in alt  # perplexity must stay below its margin


def test_the_timeline_says_in_words_which_works_it_shows_and_when(shown):
    pages.timeline_figure()
    [(alt, _)] = shown
    for work in history.load_works():
        named = f"{work.first} {work.who}, {work.what}" in alt
        assert named == work.shown, work
    assert f"{history.TITLES['lora']}, 2019 to 2025:" in alt


def test_names_in_the_timeline_do_not_cover_each_other(shown, monkeypatch):
    kept = []
    monkeypatch.setattr(pages, "show", lambda figure, *_: kept.append(figure))
    pages.timeline_figure()
    [figure] = kept
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    covered = [(a, b) for i, a in enumerate(boxes) for b in boxes[i + 1 :] if a.overlaps(b)]
    assert covered == []
    edge = figure.axes[0].get_window_extent()
    assert all(edge.x0 - 1 <= box.x0 and box.x1 <= edge.x1 + 1 for box in boxes)
    plt.close(figure)


def test_the_chart_of_advice_says_what_fits_and_where_nothing_does(shown):
    shelf = results(priced("NB-SVM", 32, 0.6, 1) + priced("decoder + LoRA", 320, 0.9, 100))
    cells = [[history.advise(shelf, n)] for n in (0, 32, 320)]
    pages.decisions_figure(["0", "32", "320"], ["no limit"], cells, items=200)
    alt = shown[0][0]
    assert "0, no limit: nothing fits" in alt and "32, no limit: NB-SVM 0.60" in alt
    assert "320, no limit: LoRA 0.90" in alt
