"""The block diagrams: each can be read, says in words what it shows, and has the right sizes."""

import matplotlib

matplotlib.use("Agg")

import pytest
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from helpers.plots import drawings, showing
from helpers.plots.diagrams import ABSENT, DRAWINGS, FILLS, FROZEN, NEW, SMALL, TRAINED, Diagram

EVERY = pytest.mark.parametrize("name", DRAWINGS)


@pytest.fixture
def shown(monkeypatch):
    calls = []

    def display(data, metadata, raw):
        calls.append((data, metadata))

    monkeypatch.setattr("IPython.display.display", display)
    return calls


def light(color) -> float:
    return sum(
        part * weight for part, weight in zip(to_rgb(color), (0.21, 0.72, 0.07), strict=True)
    )


@EVERY
def test_no_text_touches_a_text_a_line_or_the_edge(name):
    assert DRAWINGS[name]().problems() == []


@EVERY
def test_text_is_large_enough_for_a_projector(name):
    diagram = DRAWINGS[name]()
    sizes = [text.get_fontsize() for text in diagram.axes.texts if text.get_text()]
    assert min(sizes) >= SMALL == 12.5 and diagram.figure.get_figwidth() == 11


@EVERY
def test_a_drawing_says_in_words_what_it_shows(name):
    diagram = DRAWINGS[name]()
    words = diagram.alt.replace("−", "-").lower()
    assert words.startswith(diagram.title.lower()) and len(words) > len(diagram.title) + 80
    assert "\n" not in diagram.alt
    parts = {part.get_facecolor() for part in diagram.axes.patches}
    for fill in (FROZEN, TRAINED, NEW):
        if to_rgb(FILLS[fill][0]) in {color[:3] for color in parts}:
            assert fill in words, fill


@EVERY
def test_a_drawing_is_shown_as_a_vector_picture_with_the_same_bytes_each_time(name, shown):
    for _ in range(2):
        assert getattr(drawings, name)() is None
    (data, metadata), again = shown[0], shown[1]
    assert metadata["image/svg+xml"]["alt"] == DRAWINGS[name]().alt
    assert (data, metadata) == again
    assert len(data["image/svg+xml"]) < 120_000


def test_every_drawing_can_be_called_from_a_notebook():
    assert set(DRAWINGS) | {"attention", "memory"} == set(drawings.__all__)


def test_the_four_fills_differ_in_greyscale():
    shades = sorted(light(FILLS[fill][0]) for fill in (FROZEN, TRAINED, NEW))
    assert all(b - a > 0.2 for a, b in zip(shades, shades[1:], strict=False))
    assert FILLS[ABSENT][2] != "-" == FILLS[FROZEN][2]  # dashed, not only white


@pytest.mark.parametrize("fill", FILLS)
def test_text_can_be_read_on_every_fill(fill):
    face, _, _, ink = FILLS[fill]
    assert abs(light(face) - light(ink)) > 0.5


def on_a_text(d):
    d.text(3, 1, "one text")
    d.text(3.2, 1, "another")


def on_its_box(d):
    d.box(1, 0.5, 0.5, 0.5, "too long for it")


def on_an_arrow(d):
    d.arrow((1, 1), (5, 1))
    d.text(3, 1, "in the way")


def outside(d):
    d.text(10.9, 1, "cut off")


@pytest.mark.parametrize(
    ("draw", "said"),
    [(on_a_text, "touches 'another'"), (on_its_box, "touches a line"),
     (on_an_arrow, "touches a line"), (outside, "leaves the page")],
)  # fmt: skip
def test_a_drawing_that_cannot_be_read_is_refused(draw, said, shown):
    diagram = Diagram("A title", 2)
    draw(diagram)
    with pytest.raises(ValueError, match=said):
        diagram.show()
    assert shown == []


def test_a_legend_names_the_fills_in_use_only():
    diagram = Diagram("A title", 2)
    diagram.box(1, 1, 1, 0.5, "a", NEW)
    diagram.box(3, 1, 1, 0.5, "b", FROZEN)
    diagram.legend()
    words = {text.get_text() for text in diagram.axes.texts}
    assert {NEW, FROZEN} <= words and not {TRAINED, ABSENT} & words


def test_lora_s_matrices_are_to_scale():
    diagram = DRAWINGS["lora"](rank=64, width=512)
    boxes = [part for part in diagram.axes.patches if isinstance(part, Rectangle)]
    w, _, a, b = boxes[:4]
    assert a.get_width() == b.get_height() == w.get_width() == w.get_height()
    assert a.get_height() / w.get_height() == pytest.approx(64 / 512)
    assert b.get_width() / w.get_width() == pytest.approx(64 / 512)
    assert "65,536 parameters, 25.0% of W" in diagram.alt  # 2 x 64 x 512, of 512 x 512
    assert diagram.problems() == []


@pytest.mark.parametrize(("rank", "width"), [(1, 576), (8, 768), (32, 576), (64, 1_024)])
def test_lora_can_be_drawn_at_other_ranks_and_widths(rank, width):
    assert DRAWINGS["lora"](rank, width).problems() == []


def test_the_sizes_are_those_of_the_models():
    import torch
    from transformers import AutoModel, BertConfig, LlamaConfig

    def millions(part):
        return f"{sum(p.numel() for p in part.parameters()) / 1e6:.1f} million"

    with torch.device("meta"):
        bert = AutoModel.from_config(
            BertConfig(hidden_size=384, num_hidden_layers=6, intermediate_size=1_536),
            trust_remote_code=False,
        )
        llama = AutoModel.from_config(
            LlamaConfig(hidden_size=576, num_hidden_layers=30, intermediate_size=1_536,
                        num_attention_heads=9, num_key_value_heads=3, vocab_size=49_152),
            trust_remote_code=False,
        )  # fmt: skip
    alt = DRAWINGS["bert"]().alt
    assert f"token vectors {millions(bert.embeddings)}" in alt
    assert f"6 Transformer blocks {millions(bert.encoder)}" in alt
    alt = DRAWINGS["gpt"]().alt
    assert f"token vectors {millions(llama.embed_tokens)}" in alt
    assert f"30 Transformer blocks {millions(llama.layers)}" in alt


def test_a_stage_that_the_notebook_is_not_about_was_done_before_or_is_absent():
    alt = DRAWINGS["stages"](now=(2,)).alt
    assert "Domain text: from texts of one field, no labels, the model (copied and frozen)" in alt
    assert "Instructions (SFT): from questions with good answers, the model (copied and tr" in alt
    assert "the model (absent) learns to earn points" in alt
    for now in ((1,), (2,), (3,), (1, 2, 3), (4,)):
        assert DRAWINGS["stages"](now=now).problems() == []


def test_a_conversation_of_one_s_own_is_drawn():
    parts = [("<|user|> Hi", False), ("Hello! <eos>", True)]
    diagram = DRAWINGS["chat_template"](parts)
    assert diagram.problems() == []
    assert "Hi: read only" in diagram.alt and "Hello! <eos>: counts in the loss" in diagram.alt


@pytest.mark.parametrize("n", [3, 11])
def test_attention_is_drawn_with_its_weights(n, shown):
    words = [f"word{i}" for i in range(n)]
    weights = [[0.8 if i == j else 0.2 / (n - 1) for j in range(n)] for i in range(n)]
    drawings.attention(words, weights, "Attention of a head")
    alt = shown[0][1]["image/svg+xml"]["alt"]
    assert f"word{n - 1} reads most from word{n - 1} (0.80)" in alt


def test_memory_is_computed_from_bytes(shown):
    drawings.memory(parameters=100e6, adapter=1e6)
    alt = shown[0][1]["image/svg+xml"]["alt"]
    assert "full fine-tuning: weights 400, gradients 400, Adam's two means 800" in alt
    assert "LoRA: weights 404, gradients 4, Adam's two means 8" in alt
    assert "QLoRA, 4 bits: weights 54, gradients 4" in alt
    drawings.memory(activations=(900, 700, 650))
    assert "activations 650" in shown[1][1]["image/svg+xml"]["alt"]


def test_texts_that_stand_apart_are_no_collision():
    diagram = Diagram("A title", 2)
    diagram.text(3, 1, "one text")
    diagram.text(6, 1, "another")
    assert showing.collisions(diagram.figure) == []
