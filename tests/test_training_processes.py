"""Training in several processes gives the model of one, also after a kill."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from interrupted import Stop

from helpers import training
from helpers.networks import BiLSTMTagger

PROGRAM = """
import sys, torch
sys.path.insert(0, sys.argv[1])
from test_training_processes import train
train(sys.argv[2], sys.argv[3], int(sys.argv[4]))
"""


def rows():
    """Texts of unlike lengths, and as many labels, of which some do not count."""
    texts = [[2 + (7 * i + j) % 20 for j in range(2 + i % 5)] for i in range(21)]
    labels = [[-100] + text[1:] if i % 3 else text for i, text in enumerate(texts)]
    return Dataset.from_dict({"input_ids": texts, "labels": labels})


def train(folder, output, killed_at=0):
    """Train a small tagger without dropout and save what came out."""
    torch.manual_seed(0)
    model = BiLSTMTagger(30, 30, dimensions=8, hidden=8, dropout=0.0)
    result = training.fit(
        model, rows(), validation=rows(), num_epochs=3, learning_rate=0.01, batch_size=5,
        warmup_steps=2, output_dir=folder, resume=True, save_steps=4,
        on_step=Stop(killed_at) if killed_at else None,
    )  # fmt: skip
    if training.place()[0] == 0:
        found = {"losses": result.losses, "validation": result.validation}
        torch.save(found | {"weights": model.state_dict(), "steps": result.steps}, output)


def launch(*arguments, fails=False):
    """Run `train` in two processes, with a tagger whose last batch leaves one of them idle."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2",
               "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0",
               "--no-python", sys.executable, "-c", PROGRAM,
               str(Path(__file__).parent), *map(str, arguments)]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=240)
    assert (done.returncode != 0) == fails, done.stderr[-3_000:]


@pytest.mark.slow
def test_two_processes_give_the_model_of_one_also_after_a_kill(tmp_path):
    train(tmp_path / "one", tmp_path / "one.pt")
    launch(tmp_path / "two", tmp_path / "two.pt", 9, fails=True)
    assert {path.name for path in (tmp_path / "two").iterdir()} == {"checkpoint-4", "checkpoint-8"}
    launch(tmp_path / "two", tmp_path / "two.pt", 0)
    one, two = (torch.load(tmp_path / f"{name}.pt") for name in ("one", "two"))
    assert (one["steps"], two["steps"]) == (15, 7)
    assert two["losses"] == pytest.approx(one["losses"], rel=1e-5)
    for alone, shared in zip(one["validation"], two["validation"], strict=True):
        assert shared == pytest.approx(alone, rel=1e-5)
    for name, value in one["weights"].items():
        assert torch.allclose(two["weights"][name], value, atol=1e-5), name


def test_unfreezing_in_several_processes_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="one process only"):
        training.fit(
            BiLSTMTagger(30, 30), rows(), num_epochs=2, learning_rate=0.1,
            unfreeze_schedule=[["head"], ["embedding"]],
        )  # fmt: skip
