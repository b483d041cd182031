"""What a worker imports for a cell that needs little."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Collection
from typing import Any

import pytest

from bench.cell import Cell
from bench.job import Job
from bench.plugins.discovery import discover
from bench.recipe import Recipe

WORKER = """
import os, sys
from bench.running import worker

leave, heavy = os._exit, set(os.environ["HEAVY"].split())

def tell(status):
    sys.stderr.write("imported " + json.dumps(sorted(heavy & set(sys.modules))))
    sys.stderr.flush()
    leave(status)

import json
os._exit = tell
worker.main()
"""


def worked(cell: Cell, recipe: Recipe, heavy: Collection[str]) -> tuple[dict[str, Any], set[str]]:
    """The record of a cell on 30 clips, and which ``heavy`` modules its processes had imported."""
    job = Job(cell=cell, recipe=recipe, fingerprint="f", limit=30)
    with subprocess.Popen(
        [sys.executable, "-P", "-c", WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=os.environ | {"HEAVY": " ".join(heavy)},
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(job.to_json().encode() + b"\n")
        process.stdin.flush()
        while (event := json.loads(process.stdout.readline()))["event"] != "record":
            pass
        _, log = process.communicate()
    told = log.decode().split("imported ")[1:]
    assert told
    return json.loads(event["values"]["text"]), set().union(*(json.loads(one.splitlines()[0]) for one in told))


def test_an_estimator_s_cell_imports_no_torch() -> None:
    cell = Cell(
        kind="evaluate", dataset="demo", protocol="official@1", fold=0, model="classical.knn", frontend="waveform",
        recipe="plain", batch=8,
    )  # fmt: skip
    record, imported = worked(cell, Recipe(name="plain"), ("torch", "torchaudio", "matplotlib", "transformers"))
    assert record["status"] == "ok", record["error"]
    assert set(record["environment"]["torch"]) == {"threads"}
    assert "not imported" in record["environment"]["reasons"]["torch"]
    assert imported == set()  # neither by who opens the data nor by who fits


BRIEF = Recipe(name="plain", epochs=2, batch=8, publishable=False)
NETWORKS = [
    spec for spec in discover().models.specs() if "default" in spec.sets and not spec.name.startswith("classical.")
]


@pytest.mark.parametrize(
    ("kind", "name"),
    [("profile", "meamtm.micro"), *(("evaluate", spec.name) for spec in NETWORKS)],
    ids=lambda value: value,
)
def test_a_network_s_cell_imports_no_compiler_and_no_library_of_networks(kind, name) -> None:
    """torch's own optimisers and dispatch modes import its compiler when they are first used: 1.1 s and 115 MB."""
    spec = next(spec for spec in NETWORKS if spec.name == name)
    cell = Cell(
        kind=kind, dataset="demo", protocol="official@1", fold=0, model=name, frontend=spec.frontend, recipe="plain",
        batch=8, inputs="audio+image.derived" if "image" in spec.modalities else "audio",
    )  # fmt: skip
    heavy = ("torch", "torch._dynamo", "torch._inductor", "torchvision", "timm", "transformers", "torchaudio")
    record, imported = worked(cell, BRIEF, heavy)
    assert record["status"] == "ok", record["error"]
    assert imported == {"torch"}
    if kind == "profile":
        assert record["timing"]["flops"]["total"] > 0


def test_torch_is_seeded_however_late_it_is_imported() -> None:
    code = (
        "from bench.execution.seeding import seed_everything; seed_everything(1); seed_everything(3); import torch; "
        "early = torch.rand(4); seed_everything(3); assert torch.equal(early, torch.rand(4)); import sys; "
        "assert not [f for f in sys.meta_path if type(f).__module__.startswith('bench.execution')]"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True)
