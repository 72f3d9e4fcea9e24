"""Figures that can be read by everyone, or an error that says what they lack."""

import base64
import math

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from helpers import HOUSE_STYLE, ledger, plots
from helpers.evaluation import Difference, Interval
from helpers.plots import curves, intervals, showing, styles

SVG = "image/svg+xml"
VERDICTS = ("supported", "undecided", "contradicted")


@pytest.fixture
def shown(monkeypatch):
    calls = []

    def display(data, metadata=None, raw=False):
        calls.append((data, metadata))

    monkeypatch.setattr("IPython.display.display", display)
    matplotlib.style.use(HOUSE_STYLE)
    return calls


@pytest.fixture
def figures(monkeypatch, shown):
    """(figure, description, caption) of what is shown, with the layout that is stored."""
    found = []

    def spy(figure, alt, caption=""):
        showing.show(figure, alt, caption)
        found.append((figure, alt, caption))

    for module in (curves, intervals):
        monkeypatch.setattr(module, "show", spy)
    return found


def luminance(color) -> float:
    """Relative luminance (WCAG 2.1)."""
    parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    return float(np.dot(parts, (0.2126, 0.7152, 0.0722)))


def overlaps(figure) -> list[str]:
    figure.canvas.draw()
    found = showing.collisions(figure)
    return [each for each in found if "leaves the page" not in each]  # stored with what sticks out


def simple(points=2):
    figure, axes = plt.subplots()
    axes.plot(range(points), range(points))
    axes.fill_between([0, 1], [0, 1], [1, 2])
    return figure


def test_a_figure_carries_its_description_where_nbconvert_and_screen_readers_find_it(shown):
    figure = simple()
    alt = "A line that rises from one to two, & an <area>."
    plots.show(figure, alt, "n = 2")
    (data, metadata), number = shown[0], figure.number
    assert metadata[SVG]["alt"] == alt and alt in data["text/plain"]
    assert data[SVG].startswith('<svg role="img" aria-label="A line that rises')
    assert "&amp; an &lt;area&gt;" in data[SVG]
    assert not plt.fignum_exists(number)


def test_a_figure_without_a_description_is_refused():
    with pytest.raises(ValueError, match="Describe the figure"):
        plots.show(plt.figure(), "bars")


def test_the_same_data_give_the_same_bytes(shown):
    for _ in range(2):
        plots.show(simple(), "A line that rises from one to two.", "n = 2")
    assert shown[0][0] == shown[1][0]


@pytest.mark.parametrize(("points", "mime"), [(1_900, SVG), (2_100, "image/png")])
def test_only_a_figure_with_many_points_is_made_of_pixels(shown, points, mime):
    plots.show(simple(points), "A line that rises to the right.")
    (data, metadata) = shown[0]
    assert set(data) == {mime, "text/plain"} and list(metadata) == [mime]
    if mime == "image/png":
        assert base64.b64decode(data[mime]).startswith(b"\x89PNG")


def test_a_cloud_of_many_points_is_made_of_pixels_too(shown):
    figure, axes = plt.subplots()
    axes.scatter(range(2_100), range(2_100))
    plots.show(figure, "A cloud of points that rises.")
    assert "image/png" in shown[0][0]


def test_a_caption_is_not_wider_than_its_figure_and_begins_at_its_left_edge(shown):
    figure = simple()
    plots.show(figure, "A line that rises from one to two.", "many words about it " * 30)
    [text] = figure.texts
    box, rest = text.get_window_extent(), figure.axes[0].get_tightbbox()
    assert box.x0 == pytest.approx(rest.x0, abs=2) and box.x1 < rest.x1 + 5 and box.y1 < rest.y0


def test_transfer_is_not_drawn_from_two_bars():
    with pytest.raises(ValueError, match="missing: source only"):
        plots.three_bars(
            {"target only": [0.5], "source, then target": [0.7]},
            title="",
            labels=100,
            items=10,
            alt="Two bars, which are not enough.",
        )


def test_three_bars_start_at_zero_and_say_heights_labels_items_and_seeds(figures):
    values = {"target only": [0.5, 0.6], "source only": [0.7], "source, then target": [0.8, 0.7]}
    ends = {"target only": Interval(0.55, 0.5, 0.58)}
    bars = {"title": "t", "labels": 1_000, "items": 1_066, "alt": "Three bars of accuracy."}
    plots.three_bars(values, intervals=ends, **bars)
    [(figure, alt, caption)] = figures
    assert "target only 0.550; source only 0.700; source, then target 0.750" in alt
    assert caption.startswith("1,000 target labels; n = 1,066 items; dots: 2 seeds")
    assert "95 % interval" in caption
    [axes] = figure.axes
    assert axes.get_ylim()[0] == 0 and "chance" in [t.get_text() for t in axes.texts]
    assert [bar.get_height() for bar in axes.patches] == pytest.approx([0.55, 0.7, 0.75])
    assert overlaps(figure) == []


def test_learning_curves_mark_what_comes_from_the_reference(figures):
    lines = {"a": {0: [0.6], 100: [0.7, 0.8]}, "b": {100: [0.5], 320: [0.6]}}
    plots.learning_curve(
        lines, title="t", items=10, alt="Two rising lines of accuracy.", reference=["b"]
    )
    [(figure, alt, caption)] = figures
    assert "a from 0.600 to 0.750" in alt and "b (reference) from 0.500 to 0.600" in alt
    assert "n = 10 items; 1 to 2 seeds per point" in caption
    names = [text.get_text() for text in figure.axes[0].texts]
    assert sorted(names) == ["a", "b (reference)", "chance"]


def test_a_method_looks_the_same_in_every_figure_and_can_have_another_name(figures):
    lines = {"x": {100: [0.7], 320: [0.8]}, "NB-SVM (notebook 1)": {100: [0.6], 320: [0.7]}}
    looks = []
    for order in (list(lines), list(lines)[::-1]):
        plots.learning_curve(
            {name: lines[name] for name in order},
            title="t",
            items=10,
            alt="Two rising lines of F1.",
            names=("sentences", "span F1"),
            called={"x": "another"},
        )
        axes = figures[-1][0].axes[0]
        drawn = {line.get_ydata()[0]: line for line in axes.lines if len(line.get_xdata()) == 2}
        looks.append((drawn[0.6].get_color(), drawn[0.6].get_marker(), drawn[0.7].get_marker()))
        assert {text.get_text() for text in axes.texts} == {"another", "NB-SVM (notebook 1)"}
    assert looks[0] == looks[1]
    assert looks[0][:2] == styles.METHODS["NB-SVM"][:2]


def test_names_of_lines_that_end_together_do_not_collide(figures):
    lines = {f"method {i}": {100: [0.5], 1_000: [0.8 + i / 1_000]} for i in range(8)}
    lines["ends early"] = {32: [0.5], 100: [0.8]}
    plots.learning_curve(lines, title="t", items=10, alt="Nine lines that rise.")
    figure = figures[0][0]
    assert overlaps(figure) == []
    names = {text.get_text(): text.get_window_extent() for text in figure.axes[0].texts}
    area = figure.axes[0].get_window_extent()
    assert len(names) == 10
    assert all(area.y0 - 8 < box.y0 and box.y1 < area.y1 + 8 for box in names.values())
    heights = [names[f"method {i}"].y0 for i in range(8)]
    assert heights == sorted(heights)  # in the order of the lines


def test_all_methods_differ_without_colour():
    looks = [(each.marker, each.dash, each.hollow) for each in styles.METHODS.values()]
    looks += [(each.marker, each.dash, each.hollow) for each in styles.OTHERS]
    assert len(set(looks)) == len(looks)
    assert {each.marker for each in styles.OTHERS}.isdisjoint(
        each.marker for each in styles.METHODS.values()
    )


def test_every_line_is_dark_enough_for_a_projector():
    pale = {
        name: round(1.05 / (luminance(each.color) + 0.05), 2)
        for name, each in styles.METHODS.items()
        if 1.05 / (luminance(each.color) + 0.05) < 3
    }
    assert pale == {}


def test_every_method_of_the_reference_ledger_has_its_look():
    names = {row["method"] for row in ledger.read(ledger.REFERENCE)}
    assert len(names) > 40
    assert names - set(styles.METHODS) - set(styles.SAME) == set()
    assert set(styles.SAME.values()) <= set(styles.METHODS)


def test_controls_are_hollow_and_grey():
    for name, each in styles.METHODS.items():
        control = any(word in name for word in ("random", "from scratch"))
        assert control == each.hollow == (each.color == styles.CONTROL), name


def test_a_method_that_is_not_in_the_table_has_the_colour_of_its_era():
    looks = [plots.style_of("my own recipe", era) for era in ledger.ERAS]
    eras = [plots.style_of(styles.ERA_METHODS[era]) for era in ledger.ERAS]
    assert [look["color"] for look in looks] == [era["color"] for era in eras]
    assert len({era["color"] for era in eras}) == len(eras)
    assert all(a["marker"] != b["marker"] for a, b in zip(looks, eras, strict=True))
    assert plots.style_of("my own recipe") == plots.style_of("my own recipe")


def test_a_loss_curve_names_its_lines_and_starts_at_zero(figures):
    validation = [{"epoch": 1, "loss": 0.6}, {"epoch": 2, "loss": 0.5}]
    run = plots.Losses([0.7, 0.6, 0.5, 0.4], validation)
    plots.loss_curve(run, title="t", chance=math.log(2))
    plots.loss_curve({"1e-4": run, "1e-3": plots.Losses([0.9, 0.8])}, title="t")
    (one, alt, _), (two, both, _) = figures
    assert "training from 0.70 to 0.40" in alt and "validation from 0.60 to 0.50" in alt
    assert {t.get_text() for t in one.axes[0].texts} == {"training", "validation", "chance"}
    marked = [line for line in one.axes[0].lines if list(line.get_ydata()) == [0.6, 0.5]]
    assert [list(line.get_xdata()) for line in marked] == [[2, 4]]  # steps, after each epoch
    assert {t.get_text() for t in two.axes[0].texts} == {"1e-4", "1e-3, training"}
    assert "1e-3, training from 0.90 to 0.80" in both
    assert all(figure.axes[0].get_ylim()[0] == 0 for figure, _, _ in figures)
    assert overlaps(one) == overlaps(two) == []


def test_stacked_bars_add_up_and_start_at_zero(figures):
    bars = {"full": {"weights": 500.0, "gradients": 700.0}, "LoRA": {"weights": 500.0}}
    plots.stacked_bars(bars, title="t", unit="MB", alt="Memory.")
    [(figure, alt, _)] = figures
    assert "full: weights 500, gradients 700; LoRA: weights 500" in alt
    assert [t.get_text() for t in figure.axes[0].texts] == ["1,200 MB", "500 MB"]
    assert figure.axes[0].get_xlim()[0] == 0
    assert overlaps(figure) == []


INTERVALS = {
    "clear": Difference(0.15, 0.12, 0.18),
    "around": Difference(0.10, 0.05, 0.15),
    "under": Difference(0.02, -0.01, 0.05),
}


@pytest.mark.parametrize(
    ("above", "below", "expected"),
    [
        (0.1, None, ("supported", "undecided", "contradicted")),
        (None, 0.1, ("contradicted", "undecided", "supported")),
        (-0.05, 0.06, ("contradicted", "undecided", "supported")),
        (None, None, ("", "", "")),
        (0.12, None, ("undecided", "undecided", "contradicted")),  # the end lies on the threshold
    ],
)
def test_a_row_s_verdict_is_where_its_whole_interval_lies(above, below, expected):
    rows = [plots.Row(name, each, above, below) for name, each in INTERVALS.items()]
    assert tuple(row.verdict for row in rows) == expected


def shaded(figure) -> list[tuple[float, float]]:
    """Left and right ends of the shading of each row, from top to bottom."""
    boxes = [area.get_paths()[0].get_extents() for area in figure.axes[0].collections]
    return [(round(box.x0, 6), round(box.x1, 6)) for box in sorted(boxes, key=lambda box: box.y0)]


def test_a_forest_plot_shades_the_side_of_the_claim(figures):
    clear, under = INTERVALS["clear"], INTERVALS["under"]
    rows = [plots.Row("more", clear, above=0.1), plots.Row("less", under, below=0.1)]
    rows += [plots.Row("none", under), ("within", under, -0.05, 0.05)]
    plots.forest(rows, title="t", caption="n = 9.")
    [(figure, alt, caption)] = figures
    left, right = (round(end, 6) for end in figure.axes[0].get_xlim())
    assert shaded(figure) == [(10, right), (left, 10), (-5, 5)]
    assert "more +15.0 [+12.0, +18.0], claimed above +10.0: supported" in alt.replace("−", "-")
    assert "none +2.0 [-1.0, +5.0];" in alt.replace("−", "-")
    assert caption.startswith("n = 9.") and "4 comparisons are read together" in caption
    assert overlaps(figure) == []


def test_verdicts_differ_in_the_form_of_their_marks(figures):
    rows = [plots.Row(name, each, above=0.1) for name, each in INTERVALS.items()]
    plots.forest(rows, title="t")
    marks = [line for line in figures[0][0].axes[0].lines if len(line.get_xdata()) == 1]
    assert len({line.get_marker() for line in marks}) == 3
    assert len({round(luminance(line.get_markerfacecolor()), 1) for line in marks}) == 3
    words = [text.get_text() for text in figures[0][0].axes[0].texts]
    assert [word for word in words if word in VERDICTS] == list(VERDICTS)


def test_a_forest_plot_of_another_unit_is_not_multiplied(figures):
    plots.forest([plots.Row("x", Interval(2.0, 1.0, 3.0))], title="t", unit="seconds", scale=1)
    assert "in seconds" in figures[0][1] and "+2.0 [+1.0, +3.0]" in figures[0][1]


def test_changed_answers_show_both_kinds_in_colour_and_in_plain_text(shown):
    texts = ["good <b>", "bad", "fine", "dull", "so-so"]
    plots.changed_answers(
        texts, [1, 0, 1, 0, 1], [0, 0, 1, 0, 1], [1, 1, 1, 0, 1], models=("zero-shot", "LoRA")
    )
    [(data, _)] = shown
    head = "5 texts: 1 became right, 1 became wrong, 3 neither."
    assert data["text/plain"].splitlines() == [
        head,
        "✓ became right: negative -> positive (truth: positive)  good <b>",
        "✗ became wrong: negative -> positive (truth: negative)  bad",
    ]
    assert head in data["text/html"] and "good &lt;b&gt;" in data["text/html"]
    assert "<th" in data["text/html"] and "zero-shot" in data["text/html"]
    assert "dull" not in data["text/html"]


def test_changed_answers_are_counted_in_full_where_few_are_shown(shown):
    plots.changed_answers(["a", "b", "c"], [1, 1, 1], [0, 0, 0], [1, 1, 1], shown=1)
    assert "3 became right" in shown[0][0]["text/plain"]
    assert len(shown[0][0]["text/plain"].splitlines()) == 2


def test_a_table_has_the_course_s_format():
    rows = [
        {"method": "NB-SVM", "labels": 6_398, "accuracy": 0.7986, "gain": Difference(0.1, 0, 0.2)},
        {"method": "LoRA", "labels": np.int64(320), "accuracy": float("nan"), "gain": None},
    ]
    frame = plots.table(rows, index="method")
    assert frame.loc["NB-SVM"].tolist() == ["6,398", "0.80", "+10.0 points [+0.0, +20.0]"]
    assert frame.loc["LoRA"].tolist() == ["320", "", ""]


def test_neighbouring_series_differ_in_more_than_colour():
    matplotlib.style.use(HOUSE_STYLE)
    cycle = list(plt.rcParams["axes.prop_cycle"])
    for one, other in zip(cycle, cycle[1:], strict=False):
        assert one["marker"] != other["marker"] and one["linestyle"] != other["linestyle"]


def test_neighbouring_shades_differ_in_greyscale():
    light = [np.dot(to_rgb(shade), (0.2126, 0.7152, 0.0722)) for shade in plots.SHADES]
    assert all(abs(a - b) > 0.1 for a, b in zip(light, light[1:], strict=False))
