"""``bench baseline`` and ``bench gate`` from the command line, on synthetic records."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.__main__ import main
from bench.results.records import Failure, Score

HERE = Path(__file__).resolve()


@pytest.fixture
def runs(tmp_path):
    path = HERE.parents[1] / "gate" / "conftest.py"
    spec = importlib.util.spec_from_file_location("bench_test_runs_cli", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.Runs(tmp_path)


@pytest.fixture
def pinned(runs, tmp_path, capsys):
    path = tmp_path / "baselines" / "toy.json"
    assert main(["baseline", "pin", str(runs(100).root), "--to", str(path)]) == 0
    assert "pinned 2 rows" in capsys.readouterr().out
    return path


def gate(store, pinned, *words):
    return main(
        ["gate", str(store if isinstance(store, Path) else store.root), "--baseline", str(pinned), *map(str, words)]
    )


def test_exit_statuses(runs, pinned, capsys):
    assert gate(runs(1), pinned) == 0
    assert "passed: 8 ok" in capsys.readouterr().out
    assert gate(runs(1, slow=1.3), pinned) == 3
    assert gate(runs(1, fat=1.05), pinned) == 3
    assert gate(runs(1, worse=0.05), pinned) == 3
    assert gate(runs(1, processes=0), pinned) == 4
    assert gate(runs(1, processes=0, worse=0.05), pinned) == 3
    capsys.readouterr()
    assert gate(runs(1, hardware="beef"), pinned) == 2
    error = capsys.readouterr().err
    assert "f00d" in error
    assert "beef" in error
    assert gate(runs(1, hardware="beef"), pinned, "--cross-hardware") == 0


def test_the_verdict_is_written_in_both_forms(runs, pinned, tmp_path, capsys):
    files = tmp_path / "out" / "verdict.json", tmp_path / "out" / "verdict.md"
    assert gate(runs(1, slow=1.3), pinned, "--json", files[0], "--summary", files[1]) == 3
    verdict = json.loads(files[0].read_text())
    assert verdict["outcome"] == "regression"
    assert {f["quantity"] for f in verdict["findings"] if f["status"] == "regression"} == {
        "latency",
        "infer_throughput",
    }
    assert files[1].read_text().startswith("## Gate regression: 2 regression, 6 ok")
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith("verdict")
    assert shown[1].startswith("regression")


def test_junit_and_annotations(runs, pinned, tmp_path, capsys):
    path = tmp_path / "junit.xml"
    assert gate(runs(1, slow=1.3), pinned, "--junit", path, "--annotate", "--bencher", tmp_path / "b.json") == 3
    assert "::error title=regression%3A latency::" in capsys.readouterr().out
    assert 'failures="2"' in path.read_text()
    assert "latency" in (tmp_path / "b.json").read_text()
    assert gate(tmp_path / "nowhere", pinned, "--junit", path) == 2
    assert "no folder or file" in path.read_text()


def test_a_policy_file_decides(runs, pinned, tmp_path, capsys):
    policy = tmp_path / "gate.toml"
    policy.write_text("[latency]\nrelative = 0.6\n[throughput]\nrelative = 0.6\n")
    assert gate(runs(1, slow=1.3), pinned, "--policy", policy) == 0
    policy.write_text("[latncy]\nrelative = 0.6\n")
    capsys.readouterr()
    assert gate(runs(1), pinned, "--policy", policy) == 2
    assert "Did you mean 'latency'?" in capsys.readouterr().err
    assert gate(runs(1), pinned, "--policy", tmp_path / "nowhere.toml") == 2
    assert "nowhere.toml: no such file" in capsys.readouterr().err


def test_edited_newer_and_missing_baselines(runs, pinned, capsys):
    store, good = runs(1), pinned.read_text()
    pinned.write_text(good.replace('"pinned_at": "20', '"pinned_at": "19'))
    assert gate(store, pinned) == 2
    assert "changed after it was pinned" in capsys.readouterr().err
    pinned.write_text(good.replace('"schema_version": 3', '"schema_version": 7'))
    assert gate(store, pinned) == 2
    assert "schema version 7" in capsys.readouterr().err
    assert gate(store, pinned.with_name("nowhere.json")) == 2


def test_results_that_are_not_there(runs, pinned, tmp_path, capsys):
    assert gate(tmp_path / "nowhere", pinned) == 2
    (tmp_path / "empty").mkdir()
    assert gate(tmp_path / "empty", pinned) == 4
    assert "nothing measured" in capsys.readouterr().err


def test_edited_predictions_are_refused(runs, pinned, capsys):
    store = runs(1)
    npz = min(store.root.rglob("evaluate*.npz"))
    npz.write_bytes(npz.read_bytes() + b"x")
    assert gate(store, pinned) == 2
    assert "were changed" in capsys.readouterr().err


def test_what_is_pinned_is_shown(pinned, capsys):
    assert main(["baseline", "show", str(pinned)]) == 0
    text = capsys.readouterr().out
    assert "latency" in text
    assert "no CUDA device" in text
    assert main(["baseline", "show", str(pinned), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["rows"]) == 2


def test_an_incomplete_run_is_pinned_only_on_request(runs, tmp_path, capsys):
    store, to = runs(1), tmp_path / "base.json"
    error = Failure(reason="signal", stage="profile", message="killed by signal 9")
    runs.rewrite(store, "profile", status="crashed", error=error, artifacts={})
    never = runs.samples.cell("theta", 1)
    decision = {"id": never.id, "decision": "run", "fingerprint": "f"}
    store.write_plan({"cells": [never.to_json()], "decisions": [decision]})
    assert main(["baseline", "pin", str(store.root), "--to", str(to)]) == 2
    message = capsys.readouterr().err
    assert "killed by signal 9" in message
    assert "theta" in message
    assert "--partial" in message
    assert not to.exists()
    assert main(["baseline", "pin", str(store.root), "--to", str(to), "--partial"]) == 0
    assert "note: " in capsys.readouterr().err


def test_mistakes_of_baseline(runs, pinned, capsys):
    assert main(["baseline", "pn", str(pinned)]) == 2
    assert "did you mean 'pin'?" in capsys.readouterr().err
    assert main(["baseline", "pin", str(runs(1).root)]) == 2
    assert "needs --to FILE" in capsys.readouterr().err


def test_pytest_benchmark_files(tmp_path, capsys):
    machine = {"cpu": {"brand_raw": "Test CPU", "count": 2}, "machine": "x86_64", "system": "Linux"}
    paths = []
    for factor in (1.0, 1.3):
        stats = {"median": 1e-3 * factor, "data": [1e-3 * factor * (1 + i % 7 / 100) for i in range(100)]}
        values = {"machine_info": machine, "benchmarks": [{"fullname": "t.py::test_a", "stats": stats}]}
        paths.append(tmp_path / f"bench{factor}.json")
        paths[-1].write_text(json.dumps(values))
    base = tmp_path / "base.json"
    assert main(["baseline", "pin", str(paths[0]), "--to", str(base)]) == 0
    assert gate(paths[0], base) == 0
    assert gate(paths[1], base) == 3
    paths[0].write_text(json.dumps({"machine_info": machine, "benchmarks": []}))
    assert gate(paths[0], base) == 4


def test_gate_needs_no_torch(runs, pinned):
    store = runs(1)
    program = (
        "import sys, bench.cli.report\n"
        "assert 'scipy.stats' not in sys.modules\n"
        "from bench.__main__ import main\n"
        f"assert main(['gate', {str(store.root)!r}, '--baseline', {str(pinned)!r}]) == 0\n"
        "assert not {'torch', 'matplotlib', 'pandas'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_tripled_log_loss_ends_with_status_3(runs, tmp_path, capsys):
    def judged(scale):
        store = runs(1)
        for record in store.records()[0]:
            if record.cell.kind == "evaluate":
                dataset = {**record.provenance["dataset"], "primary_metric": "log_loss"}
                loss = Score(name="log_loss", value=1.5977 * scale, unit="nats", higher_is_better=False)
                changed = {"scores": (*record.scores, loss), "provenance": {**record.provenance, "dataset": dataset}}
                store.write(record.model_copy(update=changed), store.predictions(record))
        return store

    path = tmp_path / "base.json"
    assert main(["baseline", "pin", str(judged(1).root), "--to", str(path)]) == 0
    capsys.readouterr()
    assert gate(judged(3), path) == 3
    shown = capsys.readouterr().out.splitlines()[1]
    assert shown.split()[0] == "regression"
    assert "1.598 nats" in shown
    assert "4.793 nats" in shown
    assert gate(judged(0.3), path) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[0] == "improved"


def test_the_history_of_several_runs(runs, tmp_path, capsys):
    folder = tmp_path / "history"
    for number in range(12):
        run = runs(number, slow=1.0 if number < 6 else 1.6)
        made = ["--commit", f"v{number}", "--date", f"2026-01-{number + 1:02d}"]
        assert main(["history", "add", str(run.root), "--to", str(folder), *made]) == 0
    capsys.readouterr()
    assert main(["history", "show", str(folder), "--html", str(tmp_path / "page.html")]) == 0
    shown = capsys.readouterr().out
    (line,) = [line for line in shown.splitlines() if " latency " in line]
    assert "at v6" in line
    assert "without a change (--all shows them)" in shown
    assert "<svg" in (tmp_path / "page.html").read_text()
    pinned = tmp_path / "pinned.json"
    assert main(["baseline", "pin", str(runs(0).root), "--to", str(pinned)]) == 0
    capsys.readouterr()
    assert main(["history", "show", str(folder), "--only", "latency", "--baseline", str(pinned), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["timelines"]
    assert found["entries"][-1]["value"] / found["pinned"] == pytest.approx(1.6, rel=0.1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ad"], "no action 'ad'"),
        (["add"], "needs what to add"),
        (["add", "missing", "--commit", "v1", "--date", "2026-01-01"], "no folder or file missing"),
        (["add", "x", "--commit", "v1"], "give its date too"),
        (["add", "x", "--commit", "a/b c", "--date", "2026-01-01"], "other characters"),
        (["add", "x", "--commit", "v1", "--date", "soon"], "'soon' is no date"),
        (["show", "missing"], "no folder missing"),
    ],
)
def test_what_a_history_refuses(words, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["history", *words]) == 2
    assert said in capsys.readouterr().err


def test_two_runs_are_compared_without_a_pin(runs, capsys):
    base, slower = runs(0).root, runs(1, slow=3.0).root
    assert main(["gate", str(base), str(base)]) == 0
    assert main(["gate", str(base), str(slower)]) == 3
    capsys.readouterr()
    assert main(["gate", str(slower)]) == 2
    assert "compared with nothing; give `bench gate BASE RESULTS`" in capsys.readouterr().err


def test_baselines_of_a_folder_are_listed_and_other_files_named(pinned, capsys):
    (pinned.parent / "other.json").write_text("{}")
    assert main(["baseline", "list", str(pinned.parent)]) == 0
    shown = capsys.readouterr()
    assert f"{pinned}" in shown.out
    assert "other.json: no baseline of bench" in shown.err
    assert main(["baseline", "list", str(pinned.parent), "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)) == [str(pinned)]
    pinned.unlink()
    assert main(["baseline", "list", str(pinned.parent)]) == 4
    assert main(["baseline", "list", str(pinned)]) == 2
