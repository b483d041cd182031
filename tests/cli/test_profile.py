"""``bench profile`` from the command line, on generated tones, every cell in a process of its own."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.config.selection import Selection
from bench.data.locate import open_clips
from bench.execution.evaluate import Progress
from bench.execution.profile import run_profile
from bench.job import Job
from bench.planning.fingerprints import Loaded
from bench.planning.plan import expand
from bench.plugins.discovery import discover

from .calling import called

pytestmark = pytest.mark.usefixtures("warm_workers", "own_cache")

TESTS = Path(__file__).resolve().parents[1]
TONES, RUDE = TESTS / "execution" / "faulty_plugin.py", TESTS / "studies" / "rude_plugin.py"
COMMON = ["--dataset", "tones", "--recipe", "smoke", "--device", "cpu", "--plugin", str(TONES), "--plugin", str(RUDE)]


def call(*words: str) -> tuple[int, str, str]:
    return called("profile", *words, *COMMON)


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    status, out, err = call(
        "tones.good", "--batch", "1,8", "--trace", "--counters", "perf", "--json", "--out", str(folder)
    )
    assert status == 0, err
    return folder, json.loads(out)


@pytest.mark.slow
def test_rows_and_saturation(swept) -> None:
    _, found = swept
    assert [row["batch"] for row in found["rows"]] == [1, 8]
    assert all(row["statuses"] == ["ok"] and row["infer"] > 0 and row["train"] > 0 for row in found["rows"])
    assert found["saturation"]["infer"]["batch"] in (1, 8)
    assert found["largest_batch"] is None
    assert "CUDA" in found["reasons"]["largest_batch"]


@pytest.mark.slow
def test_flops_are_exact_and_the_fourier_transform_is_listed_as_uncounted(swept) -> None:
    _, found = swept
    flops = found["details"]["8"]["flops"]
    features, hidden, classes = 8 * (1600 // 64 + 1), 16, 3
    assert flops["clips"] == 1
    assert flops["model"]["total"] == 2 * features * hidden + 2 * hidden * classes
    assert flops["total"] == flops["model"]["total"] + flops["frontend"]["total"]
    assert any("fft" in name for name in flops["frontend"]["uncounted"])


@pytest.mark.slow
def test_stages_guards_and_energy_are_there_or_say_why_not(swept) -> None:
    _, found = swept
    details = found["details"]["1"]
    infer, train = details["stages"]["infer"], details["stages"]["train"]
    assert set(infer["stages_ms"]) == {"load", "to_device", "front_end", "forward", "to_host"}
    assert set(train["stages_ms"]) == {"forward", "backward", "optimiser"}
    assert infer["end_to_end_ms"] > 0
    assert details["guards"]["watched"] == "training step"
    assert details["guards"]["findings"] == []
    energy = details["energy"]
    assert (energy["joules_per_clip"] is None) == ("joules_per_clip" in energy.get("reasons", {}))


@pytest.mark.slow
def test_counters_of_a_step_are_the_same_for_every_batch_size_or_say_why_there_are_none(swept) -> None:
    folder, found = swept
    small, large = (found["details"][batch]["counters"] for batch in ("1", "8"))
    for phase in ("infer", "train"):
        assert small[phase]["operators"] == large[phase]["operators"] >= small[phase]["kernels"] > 0
        assert 0 < small[phase]["tensor_bytes"] < large[phase]["tensor_bytes"]
        assert (small[phase]["instructions"] is None) == ("instructions" in small[phase]["reasons"])
    assert "## Counters of a step at batch 8" in (folder / "profile.md").read_text()


@pytest.mark.slow
def test_traces_are_chrome_json_beside_a_table_of_operators(swept) -> None:
    folder, found = swept
    for name in ("infer", "train"):
        trace = found["traces"][name]
        events = json.loads((folder / "trace" / trace["file"]).read_text())["traceEvents"]
        names = {event.get("name") for event in events}
        assert "aten::addmm" in names
        assert ("aten::_log_softmax" in names) == (name == "train")
        assert trace["operators"][0]["self_cpu_ms"] >= trace["operators"][-1]["self_cpu_ms"] >= 0
    operators = (folder / "trace" / "operators.md").read_text()
    assert "## infer" in operators
    assert "aten::addmm" in operators


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("torch_tb_profiler") is None, reason="no torch-tb-profiler: extra `profile`"
)
def test_tensorboard_shows_the_traces(swept) -> None:
    folder, _ = swept
    script = [sys.executable, str(TESTS / "studies" / "tensorboard_routes.py"), str(folder / "trace")]
    done = subprocess.run(script, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["run"], found["workers"]) == ("trace", ["infer", "train"])
    assert {"Overview", "Operator", "Trace"} <= set(found["views"])
    assert found["steps"] == {"infer": 2, "train": 2}


@pytest.mark.slow
def test_the_page_and_the_numbers_are_written(swept) -> None:
    folder, found = swept
    assert "| batch | infer clips/s |" in (folder / "profile.md").read_text()
    assert json.loads((folder / "profile.json").read_text())["rows"] == found["rows"]
    assert str(folder) not in (folder / "profile.json").read_text()


@pytest.mark.slow
def test_the_same_command_measures_nothing_twice(swept) -> None:
    folder, found = swept
    status, out, err = call("tones.good", "--batch", "1,8", "--counters", "perf", "--out", str(folder))
    assert status == 0
    assert "2 cells were measured before" in err
    assert "(saturated)" in out
    assert json.loads((folder / "profile.json").read_text())["rows"] == found["rows"]


def test_a_failing_model_is_a_row_and_ends_with_1(tmp_path) -> None:
    status, out, err = call("faulty.raises", "--batch", "2", "--trace", "--out", str(tmp_path))
    assert status == 1
    assert "the model broke here" in out
    assert "no trace: no batch size has a result" in err


def test_an_unknown_model_names_what_is_close(tmp_path) -> None:
    status, _, err = call("tones.god", "--out", str(tmp_path))
    assert status == 2
    assert "tones.good" in err


def test_a_model_that_does_not_fit_the_data_ends_with_4_and_the_reason(tmp_path) -> None:
    status, _, err = call("wants.image", "--out", str(tmp_path))
    assert status == 4
    assert "wants.image needs image; Tones (generated) gives audio" in err


def test_a_family_is_not_one_model(tmp_path) -> None:
    status, _, err = call("tones", "--out", str(tmp_path))
    assert status == 2
    assert "names 3 models; choose one of tones.good, tones.opaque, tones.slow" in err


def test_bad_batch_is_refused(tmp_path) -> None:
    status, _, err = call("tones.good", "--batch", "1,x", "--out", str(tmp_path))
    assert status == 2
    assert "--batch 'x' is no number" in err
    status, _, err = call("tones.good", "--batch", "0,2", "--out", str(tmp_path))
    assert status == 2
    assert "give sizes of 1 or more" in err


def profiled(name: str):
    """The record of one profile cell, run in this process."""
    registry = discover((TONES, RUDE))
    entry = registry.datasets["tones"]
    tones = Loaded(entry=entry, clips=open_clips(entry.spec, None, load=entry.factory))
    selection = Selection(models=(name,), datasets=("tones",), recipe="smoke", evaluate=False)
    (planned,) = expand(selection, registry, {"tones": tones}).cells
    job = Job(cell=planned.cell, recipe=planned.recipe, fingerprint="", plugins=(TONES, RUDE))
    return run_profile(registry, job, Progress()).record


def test_a_rude_model_is_measured_and_reported(tmp_path) -> None:
    import torch

    before = torch.get_float32_matmul_precision()
    record = profiled("rude.all")
    said = {one["kind"]: one["message"] for one in record.timing["guards"]["findings"]}
    assert {"flags", "stdout", "leak", "threads"} <= set(said)
    assert "lingering" in said["threads"]
    flags = " ".join(one["message"] for one in record.timing["guards"]["findings"] if one["kind"] == "flags")
    assert "float32_precision" in flags
    assert torch.get_float32_matmul_precision() == before
    torch.backends.cudnn.benchmark = False


def test_an_estimator_has_no_stages_and_says_why(tmp_path) -> None:
    record = profiled("rude.estimator")
    assert record.timing["stages"] is None
    assert record.timing["flops"] is None
    assert "no torch network" in record.timing["reasons"]["flops"]
    assert record.timing["guards"]["watched"] == "batch inference"
