"""``bench run`` and ``bench plan`` as a user types them: output, exit status, what is said about mistakes."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bench.__main__ import main
from bench.cell import Cell
from bench.cli.run import more_seeds
from bench.cli.values import numbers, seconds
from bench.config.recipes import resolve
from bench.errors import SelectionError
from bench.planning.plan import Plan, PlannedCell

PLUGIN = Path(__file__).resolve().parents[1] / "execution" / "faulty_plugin.py"
TONES = ["--dataset", "tones", "--recipe", "smoke", "--set", "recipe.epochs=2", "--plugin", str(PLUGIN)]


@pytest.fixture
def bench(processes, tmp_path: Path):
    def call(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-P", "-m", "bench", *words]
        env = os.environ | {"BENCH_CACHE": str(tmp_path / "cache")}
        return processes.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300)

    return call


@pytest.mark.slow
def test_run_writes_a_board_and_goes_on_where_it_was(bench, tmp_path: Path) -> None:
    words = ["run", "--models", "tones.good", *TONES, "--folds", "1,2", "--out", "out"]
    first = bench(*words, "--json")
    assert first.returncode == 0, first.stderr
    told = json.loads(first.stdout)
    assert told["cells"] == 3
    assert set(told["statuses"].values()) == {"ok"}
    for suffix in ("md", "csv", "json", "tex"):
        assert (tmp_path / "out" / f"leaderboard.{suffix}").stat().st_size > 200
    again = bench(*words)
    assert again.returncode == 0, again.stderr
    assert "3 reused" in again.stderr
    assert "tones.good" in again.stdout
    plan = json.loads((tmp_path / "out" / "plan.json").read_text())
    assert [d["decision"] for d in plan["decisions"]] == ["run"] * 3


@pytest.mark.slow
def test_failed_cell_is_exit_one_and_the_board_stands(bench, tmp_path: Path) -> None:
    done = bench("run", "--models", "tones.good,faulty.raises", *TONES, "--folds", "1", "--no-profile")
    assert done.returncode == 1
    assert "the model broke here" in done.stderr
    board = (tmp_path / "results" / "runs" / "leaderboard.md").read_text()
    assert "faulty.raises" in board
    assert "failed" in board


@pytest.mark.slow
def test_nothing_within_the_budget_is_exit_four_and_says_how_to_go_on(bench, tmp_path: Path) -> None:
    words = [
        "run",
        "--models",
        "tones.good",
        *TONES,
        "--set",
        "recipe.budget_seconds=0.001",
        "--folds",
        "1",
        "--no-profile",
    ]
    done = bench(*words)
    assert done.returncode == 4, done.stderr
    assert "recipe.budget_seconds" in done.stderr
    (path,) = (tmp_path / "results" / "runs" / "records").rglob("*.json")
    assert json.loads(path.read_text())["status"] == "over_budget"
    words[words.index("recipe.budget_seconds=0.001")] = "recipe.budget_seconds=600"
    assert bench(*words).returncode == 0


@pytest.mark.slow
def test_plan_shows_cells_and_runs_no_model(bench, tmp_path: Path) -> None:
    trap = tmp_path / "trap.py"
    trap.write_text(
        "from bench import ModelSpec, hookimpl\n"
        "@hookimpl\n"
        "def bench_add_models():\n"
        "    return [ModelSpec(name='trap', factory=':build')]\n"
        "def build(task):\n"
        "    import torch\n"
        "    class Trap(torch.nn.Module):\n"
        "        def __init__(self):\n"
        "            super().__init__()\n"
        "            self.layer = torch.nn.Linear(task.clip_samples, task.num_classes)\n"
        "        def forward(self, x):\n"
        f"            if x.device.type != 'meta': open({str(tmp_path / 'ran')!r}, 'w')\n"
        "            return self.layer(x)\n"
        "    return Trap()\n"
    )
    words = ["plan", "--models", "trap,wants.image", *TONES, "--plugin", str(trap)]
    done = bench(*words, "--json")
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    by_decision = [d["decision"] for d in plan["decisions"]]
    assert by_decision.count("run") == 4
    assert by_decision.count("incompatible") == 3
    run = [d for d in plan["decisions"] if d["decision"] == "run"]
    assert all(d["cost_s"] > 0 and d["cost_source"].startswith("estimated") for d in run)
    assert plan["eta_s"] > 0
    assert plan["disk_bytes"] > 0
    assert not (tmp_path / "ran").exists()
    table = bench(*words)
    assert "wants.image: needs image; Tones (generated) gives audio" in table.stdout
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--models", "meamtm.mikro"], "Did you mean 'meamtm.micro'"),
        (["--dataset", "esc5"], "esc50"),
        (["--dataset", "esc10", "--data", "nowhere"], "nowhere"),
        (["--recipe", "fulll"], "full"),
        (["--set", "recipe.learning_rate=1"], "recipe.learning_rate is no setting"),
        (["--set", "lr=1"], "recipe.KEY=VALUE"),
        (["--folds", "one"], "--folds 'one' is no number"),
        (["--folds", "9", "--protocol", "4+1"], "no fold 9"),
        (["--timeout", "soon"], "30m"),
        (["--device", "tpu"], "auto, cpu, cuda"),
        (["--precision", "fp8"], "fp32, bf16"),
        (["--plugin", "missing.py"], "missing.py"),
        (["--no-plugin", "meamtn"], "meamtm"),
        (["--protocol", "random-5fold"], "leaks"),
        (["--out", "/proc/nowhere"], "cannot write"),
    ],
)
def test_mistakes_are_one_clear_error(bench, tmp_path: Path, words: list[str], says: str) -> None:
    done = bench("run", "--models", "classical.knn", "--no-profile", *words)
    assert done.returncode == 2, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("error:") == 1


def test_unreadable_clip_is_named_before_anything_runs(bench, tmp_path: Path) -> None:
    for i in range(8):
        soundfile.write(tmp_path / f"{i}.wav", 0.1 * np.sin(np.arange(8000) * (0.05 + 0.01 * (i % 2))), 16_000)
    (tmp_path / "3.wav").write_bytes(b"RIFF but not really")
    (tmp_path / "5.wav").write_bytes(b"")
    rows = "\n".join(f"{i}.wav,{'ab'[i % 2]},{i // 4 + 1}" for i in range(8))
    (tmp_path / "mine.csv").write_text(f"path,label,fold\n{rows}\n")
    words = ["run", "--models", "classical.knn", "--dataset", "manifest", "--data", "mine.csv", "--no-profile"]
    done = bench(*words)
    assert done.returncode == 2
    assert "3.wav" in done.stderr
    assert "5.wav" in done.stderr
    assert "Traceback" not in done.stderr


def test_bad_manifest_rows_are_reported_together(bench, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(800), 16_000)
    (tmp_path / "mine.csv").write_text("path,label,fold\na.wav,x,1\nb.wav,y,2\na.wav,,one\n")
    done = bench("run", "--dataset", "manifest", "--data", "mine.csv")
    assert done.returncode == 2
    assert "3" in done.stderr
    assert "4" in done.stderr
    assert "b.wav" in done.stderr


def test_numbers_and_durations() -> None:
    assert numbers("4,0-2", "--seeds") == (0, 1, 2, 4)
    assert [seconds(t) for t in ("90s", "1.5m", "2h", "7")] == [90.0, 90.0, 7200.0, 7.0]
    for bad in ("a", "1-", "-1", "\u00b2", "5-2", "0-4294967296", "9" * 30, "1" * 5000):
        with pytest.raises(SelectionError, match="--seeds"):
            numbers(bad, "--seeds")
    for bad in ("0s", "9" * 400, "1e3", "\u0661s"):
        with pytest.raises(SelectionError, match="--timeout"):
            seconds(bad)


@pytest.mark.parametrize(
    "argv",
    [
        ("--seeds", "0-99999999"), ("--folds", "1-4000000000"), ("--limit", "9" * 30), ("--jobs", "1000000"),
        ("--processes", "999999999"), ("--timeout", "99999999h"), ("--set", "recipe.batch=" + "9" * 30),
        ("--set", "recipe.lr=nan"), ("--set", "recipe.lr=true"), ("--set", "recipe.epochs=[" * 9),
    ],
)  # fmt: skip
def test_a_number_out_of_all_proportion_is_refused_at_once(argv, capsys: pytest.CaptureFixture[str]) -> None:
    start = time.process_time()
    assert main(["plan", *argv]) == 2
    assert time.process_time() - start < 10  # to count them takes minutes
    said = capsys.readouterr().err
    assert argv[0] in said or "recipe." in said
    assert "Traceback" not in said


def test_modes_weights_and_inputs_are_options_with_helpful_errors(bench, tmp_path: Path) -> None:
    refused = [
        (("--mode", "finetune"), ("--weights masked", "--weights FILE")),
        (("--mode", "tuned"), ("'tuned' is not one of scratch, finetune, probe, knn",)),
        (("--mode", "probe", "--weights", "nowhere.pt"), ("nowhere.pt", "'masked'")),
        (("--inputs", "audio.shufled"), ("audio.shuffled",)),
    ]
    for options, said in refused:
        done = bench("run", "--models", "convnext_attention", "--dataset", "demo", *options)
        assert done.returncode == 2, options
        for words in said:
            assert words in done.stderr, options
        assert "Traceback" not in done.stderr


def test_the_plan_shows_mode_weights_and_inputs(bench, tmp_path: Path) -> None:
    weights = tmp_path / "ssl.safetensors"
    weights.write_bytes(b"weights")
    chosen = ("--models", "digit_fusion.transformer_attention", "--dataset", "demo", "--no-profile", "--json")
    options = ("--mode", "finetune", "--weights", str(weights), "--inputs", "audio.shuffled+image")
    done = bench("plan", *chosen, *options)
    (cell,) = json.loads(done.stdout)["cells"]
    assert cell["mode"] == "finetune"
    assert cell["weights"].startswith("ssl~")
    assert cell["inputs"].startswith("audio.shuffled+image")


def own_table(folder: Path, *, seed: int) -> None:
    folder.mkdir()
    rng = np.random.default_rng(seed)
    for i in range(20):
        tone = np.sin(np.arange(2000) * (0.05 + 0.1 * (i % 2))) + 0.1 * rng.standard_normal(2000)
        soundfile.write(folder / f"{i}.wav", 0.3 * tone, 16_000)
    rows = "\n".join(f"{i}.wav,{'ab'[i % 2]},{i // 4 + 1}" for i in range(20))
    (folder / "table.csv").write_text(f"file,label,fold\n{rows}\n")


@pytest.mark.slow
def test_the_command_under_a_board_runs_as_printed_and_means_the_same_cells(bench, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "from bench import ModelSpec, hookimpl\n"
        "from bench_plugins.classical.estimators import build\n"
        "@hookimpl\n"
        "def bench_add_models():\n"
        "    return [ModelSpec(name='own.knn', factory=':build', estimator=True, options={'kind': 'knn'})]\n"
    )
    words = [
        "run", "--models", "own.knn", "--dataset", "manifest", "--protocol", "4+1", "--folds", "1", "--no-profile",
        "--plugin", "own.py", "--set", "recipe.fill=tile", "--set", "recipe.trim_db=30.0", "--limit", "12",
    ]  # fmt: skip
    for seed, name in enumerate("xy"):
        own_table(tmp_path / name, seed=seed)
        done = bench(*words, "--data", f"{name}/table.csv?columns=path=file")
        assert done.returncode == 0, done.stderr
    board = (tmp_path / "results" / "runs" / "leaderboard.md").read_text()
    commands = [line for line in board.splitlines() if line.startswith("bench run ")]
    assert len(commands) == 2
    assert board.count("## table (") == 2
    for command in commands:
        assert "--limit 12 --data " in command
        again = bench(*shlex.split(command)[1:], "--no-profile")
        assert again.returncode == 0, again.stderr
        assert "1 cells, 1 reused" in again.stderr


def planned_cells(seeds: tuple[int, ...], cost: float | None) -> Plan:
    recipe = resolve("quick")
    cells = [
        Cell(kind="evaluate", dataset="d", protocol="4+1@1", fold=fold, model="m", recipe="quick", seed=seed)
        for seed in seeds
        for fold in (1, 2)
    ]
    return Plan(cells=tuple(PlannedCell(cell=one, recipe=recipe, fingerprint="f", train_clips=8, test_clips=8,
                                        cost_s=cost) for one in cells))  # fmt: skip


def test_what_ranks_would_take_is_said_below_three_seeds() -> None:
    assert more_seeds(planned_cells((0,), 30.0), 1) == (
        "1 seed: rows are ordered by score, not ranked; ranks take 3 (--seeds 0,1,2): 2 more, about 2m 00s"
    )
    assert more_seeds(planned_cells((1, 4), 30.0), 2).endswith("ranks take 3 (--seeds 0,1,4): 1 more, about 30s")
    assert more_seeds(planned_cells((0,), None), 1).endswith("2 more, an unknown time")
    assert more_seeds(planned_cells((0, 1, 2), 30.0), 1) == ""
    assert more_seeds(Plan(cells=()), 1) == ""
