"""`course finetune` in two processes gives what it gives in one."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from finetune_files import FILES, course, write_files
from safetensors.numpy import load_file


def torchrun(folder, *arguments):
    environment = {**os.environ, "COURSE_PROFILE": "smoke", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2",
               "--master-port", "0", "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0",
               "-m", "helpers.commands.cli", *map(str, arguments)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=240)
    assert done.returncode == 0, done.stderr[-3_000:]
    return done.stdout


@pytest.mark.slow
def test_two_processes_give_the_model_of_one(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_PROFILE", "smoke")
    file, options = FILES["lora"]
    # Five rows a batch: the shares are unequal, and so is the last batch.
    order = ("finetune", write_files(tmp_path) / file, *options, "--batch-size", 5)
    assert course(*order, "--output", tmp_path / "one") == 0
    said = torchrun(tmp_path, *order, "--output", tmp_path / "two")
    assert said.count("test, opened once") == 1
    figures = [json.loads((tmp_path / n / "metrics.json").read_text()) for n in ("one", "two")]
    one, two = (f["test"] for f in figures)
    assert one["examples"] == two["examples"] == figures[0]["split"]["test"]
    assert one["value"] == pytest.approx(two["value"], rel=1e-4)
    for path in (tmp_path / "one").glob("*.safetensors"):
        shared = load_file(tmp_path / "two" / path.name)
        for key, value in load_file(path).items():
            np.testing.assert_allclose(shared[key], value, atol=2e-5, err_msg=key)


def test_weights_that_fsdp_has_spread_come_back_in_one_piece(tmp_path):
    from torch import distributed, nn
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor import DTensor

    from helpers.finetune.fitting import in_one_piece

    store = distributed.FileStore(str(tmp_path / "store"), 1)
    distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
        before = {name: value.clone() for name, value in model.state_dict().items()}
        mesh = distributed.init_device_mesh("cpu", (1,))
        fully_shard(model, mesh=mesh)
        for name, value in in_one_piece(model).items():
            assert not isinstance(value, DTensor)
            assert torch.equal(value, before[name])
    finally:
        distributed.destroy_process_group()
