"""What several test files need: a clean environment, and a tiny decoder of either kind."""

import pytest


@pytest.fixture(autouse=True)
def usual_environment(monkeypatch):
    """The course's own models, and no bars."""
    for name in ("COURSE_ENCODER", "COURSE_DECODER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COURSE_PROGRESS", "0")


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def loaded(request, tmp_path_factory):
    """A tiny decoder behind a real tokenizer."""
    from tiny_decoders import save_gpt2, save_llama  # here: other files start without torch

    from helpers.pretrained import load_decoder

    save = {"gpt2": save_gpt2, "llama": save_llama}[request.param]
    return load_decoder(source=save(tmp_path_factory.mktemp("models") / request.param), echo=None)
