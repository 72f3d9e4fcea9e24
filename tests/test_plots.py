"""Figures that can be read by everyone, or an error that says what they lack."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pytest

from helpers import HOUSE_STYLE, plots


@pytest.fixture
def shown(monkeypatch):
    calls = []

    def display(data, metadata, raw):
        calls.append((data, metadata))

    monkeypatch.setattr("IPython.display.display", display)
    return calls


def test_a_figure_carries_its_description_where_nbconvert_reads_it(shown):
    figure, axes = plt.subplots()
    axes.plot([1, 2])
    alt = "A line that rises from one to two."
    plots.show(figure, alt, "n = 2")
    (data, metadata), number = shown[0], figure.number
    assert metadata["image/png"]["alt"] == alt and alt in data["text/plain"]
    assert not plt.fignum_exists(number)


def test_a_figure_without_a_description_is_refused():
    with pytest.raises(ValueError, match="Describe the figure"):
        plots.show(plt.figure(), "bars")


def test_transfer_is_not_drawn_from_two_bars():
    with pytest.raises(ValueError, match="missing: source only"):
        plots.three_bars(
            {"target only": [0.5], "source, then target": [0.7]},
            title="",
            labels=100,
            items=10,
            alt="Two bars, which are not enough.",
        )


def test_three_bars_say_heights_labels_items_and_seeds(shown, monkeypatch):
    captions = []
    original = plots.show
    monkeypatch.setattr(
        plots, "show", lambda f, alt, caption: (captions.append(caption), original(f, alt, caption))
    )
    values = {"target only": [0.5, 0.6], "source only": [0.7], "source, then target": [0.8, 0.7]}
    plots.three_bars(values, title="t", labels=1_000, items=1_066, alt="Three bars of accuracy.")
    alt = shown[0][1]["image/png"]["alt"]
    assert "target only 0.550; source only 0.700; source, then target 0.750" in alt
    (caption,) = captions
    assert caption.startswith("1,000 target labels; n = 1,066 items; dots: 2 seeds")
    assert caption.endswith("the axis starts at 0.4.")


def test_learning_curves_mark_what_comes_from_the_reference(shown):
    curves = {"a": {0: [0.6], 100: [0.7, 0.8]}, "b": {100: [0.5], 320: [0.6]}}
    plots.learning_curve(
        curves, title="t", items=10, alt="Two rising lines of accuracy.", reference=["b"]
    )
    alt = shown[0][1]["image/png"]["alt"]
    assert "a from 0.600 to 0.750" in alt and "b (reference) from 0.500 to 0.600" in alt


def test_neighbouring_series_differ_in_more_than_colour():
    matplotlib.style.use(HOUSE_STYLE)
    styles = list(plt.rcParams["axes.prop_cycle"])
    for one, other in zip(styles, styles[1:], strict=False):
        assert one["marker"] != other["marker"] and one["linestyle"] != other["linestyle"]


def test_neighbouring_shades_differ_in_greyscale():
    from matplotlib.colors import to_rgb

    light = [0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in map(to_rgb, plots.SHADES)]
    assert all(abs(a - b) > 0.1 for a, b in zip(light, light[1:], strict=False))
