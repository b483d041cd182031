"""What a worker imports for a cell that needs little."""

from __future__ import annotations

import json
import subprocess
import sys

from bench.cell import Cell
from bench.job import Job
from bench.recipe import Recipe

WORKER = """
import os, sys
from bench.running import worker

leave, heavy = os._exit, {"torch", "torchaudio", "matplotlib", "transformers"}

def tell(status):
    sys.stderr.write("imported " + json.dumps(sorted(heavy & set(sys.modules))))
    sys.stderr.flush()
    leave(status)

import json
os._exit = tell
worker.main()
"""


def test_an_estimator_s_cell_imports_no_torch() -> None:
    cell = Cell(
        kind="evaluate", dataset="demo", protocol="official@1", fold=0, model="classical.knn", frontend="waveform",
        recipe="plain", batch=8,
    )  # fmt: skip
    job = Job(cell=cell, recipe=Recipe(name="plain"), fingerprint="f", limit=30)
    with subprocess.Popen(
        [sys.executable, "-P", "-c", WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(job.to_json().encode() + b"\n")
        process.stdin.flush()
        while (event := json.loads(process.stdout.readline()))["event"] != "record":
            pass
        _, log = process.communicate()
    record = json.loads(event["values"]["text"])
    assert record["status"] == "ok"
    assert set(record["environment"]["torch"]) == {"threads"}
    assert "not imported" in record["environment"]["reasons"]["torch"]
    assert set(log.decode().split("imported ")[1:]) == {"[]"}  # who opens the data, who fits


def test_torch_is_seeded_however_late_it_is_imported() -> None:
    code = (
        "from bench.execution.seeding import seed_everything; seed_everything(1); seed_everything(3); import torch; "
        "early = torch.rand(4); seed_everything(3); assert torch.equal(early, torch.rand(4)); import sys; "
        "assert not [f for f in sys.meta_path if type(f).__module__.startswith('bench.execution')]"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True)
