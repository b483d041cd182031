"""``bench check`` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.__main__ import main
from bench.plugins.checks import KINDS
from bench.testing.subjects import given_by, select

FILE = """
from bench import MetricSpec, ModelSpec, hookimpl

@hookimpl
def bench_add_models():
    return [ModelSpec(name="mine.good", factory=":build", recipes={"full": {"lr": 0.01}}, sets=("mine",)),
            ModelSpec(name="mine.bad", factory=":build", options={"leaky": True}, inductive=True)]

@hookimpl
def bench_add_metrics():
    return [MetricSpec(name="mine", compute=":score")]

def build(task, leaky=False):
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(100, task.num_classes)

        def forward(self, audio):
            x = 10 * audio.unflatten(1, (100, -1))[..., 0]
            return self.head(x - x.mean(0) if leaky else x)

    return Net()

def score(logits, targets):
    return float((logits.argmax(1) == targets).mean())
"""


@pytest.fixture
def plugin(tmp_path: Path) -> str:
    path = tmp_path / "mine.py"
    path.write_text(FILE, encoding="utf-8")
    return str(path)


def test_a_sound_model_exits_0_and_says_every_check(plugin, capsys):
    assert main(["check", "mine.good", "--plugin", plugin]) == 0
    out = capsys.readouterr().out
    assert "model mine.good: 12 passed, 3 skipped" in out
    assert "passed   batch_mates" in out
    assert "write parameters=5_050" in out


def test_a_broken_model_exits_1_and_says_why(plugin, capsys):
    assert main(["check", "mine.bad", "--plugin", plugin, "--json"]) == 1
    results = json.loads(capsys.readouterr().out)
    failed = [result for result in results if result["status"] == "failed"]
    assert {result["name"] for result in failed} == {"batch_mates"}
    keys = {"kind", "subject", "name", "status", "message", "measured", "seconds", "listed", "traceback"}
    assert set(failed[0]) == keys
    assert failed[0]["measured"] > 0.001
    assert "inductive=False" in failed[0]["message"]


def test_without_names_what_the_files_give_is_checked(plugin, capsys):
    assert main(["check", "--plugin", plugin, "--json"]) == 1
    results = json.loads(capsys.readouterr().out)
    assert {(r["kind"], r["subject"]) for r in results} == {
        ("model", "mine.good"), ("model", "mine.bad"), ("metric", "mine"),
    }  # fmt: skip


def test_a_data_set_that_is_named_must_be_where_data_says(tmp_path, capsys):
    assert main(["check", "esc10", "--data", str(tmp_path)]) == 1
    assert "failed   load" in capsys.readouterr().out


def test_a_data_set_without_files_is_skipped_with_the_reason(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    monkeypatch.delenv("BENCH_DATA", raising=False)
    assert main(["check", "digits"]) == 0
    assert "skipped  load  its files are not here; give them with --data DIR" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["check"], "name a model"),
        (["check", "esc100"], "Did you mean 'esc10'"),
        (["check", "meamtm.mikro"], "meamtm.micro"),
    ],
)
def test_mistakes_exit_2_and_say_what_to_type(argv, says, capsys):
    assert main(argv) == 2
    assert says in capsys.readouterr().err


def test_names_stand_for_models_families_sets_and_kinds(plugin):
    from bench.plugins.discovery import discover

    registry = discover([Path(plugin)])

    def chosen(*names):
        return [(subject.kind, subject.name) for subject in select(names, registry)]

    assert chosen("mfcc", "demo") == [("frontend", "mfcc"), ("dataset", "demo")]
    assert chosen("mine") == [("metric", "mine")]
    family = chosen("meamtm")
    assert {kind for kind, _ in family} == {"model"}
    assert len(family) == sum(spec.family == "meamtm" for spec in registry.models.specs())
    assert len(chosen("demo", "demo")) == 1
    everything = chosen("all")
    assert len(everything) == sum(len(getattr(registry, kind.field)) for kind in KINDS)
    assert {subject.name for subject in given_by(registry, ["calm"])} == {
        spec.name for spec in registry.models.specs() if spec.family == "calm"
    }


def test_what_takes_long_is_told_on_standard_error(plugin, capsys, monkeypatch):
    monkeypatch.setattr("bench.cli.check._QUIET_S", 0.0)
    main(["check", "mine.bad", "--plugin", plugin, "--json"])
    out, err = capsys.readouterr()
    json.loads(out)
    assert "s] model mine.bad: batch_mates failed" in err
    assert err.startswith("[1/1, 0 s] model mine.bad")


BROKEN = """
from bench import ModelSpec, ReporterSpec, hookimpl

@hookimpl
def bench_add_reporters():
    return [ReporterSpec(name="mine.lines", render=":render", suffix=".txt")]

def render(board):
    raise KeyError("no such row")
"""


def test_a_file_stands_for_what_it_gives_and_debug_shows_what_it_raised(tmp_path, capsys):
    path = tmp_path / "lines.py"
    path.write_text(BROKEN, encoding="utf-8")
    assert main(["check", str(path)]) == 1
    out, err = capsys.readouterr()
    assert f"reporter mine.lines: 1 passed, 3 failed (file {path})" in out
    assert "KeyError: 'no such row'" in out
    assert "Traceback" not in out
    assert "--debug shows the traceback" in err
    assert main(["check", str(path), "--debug"]) == 1
    out, err = capsys.readouterr()
    assert "    Traceback (most recent call last):" in out
    assert 'raise KeyError("no such row")' in out
    assert "--debug" not in err


def test_weights_of_another_layout_are_tried_on_a_model(plugin, tmp_path, capsys):
    torch = pytest.importorskip("torch")
    tensors = {"net.head.weight": torch.zeros(5, 100), "net.head.bias": torch.zeros(5), "loss.scale": torch.zeros(1)}
    torch.save(tensors, tmp_path / "theirs.pt")
    file = str(tmp_path / "theirs.pt")
    assert main(["check", plugin, "mine.good", "--weights", file, "--json"]) == 1  # mine.bad is in the file too
    failed = [r for r in json.loads(capsys.readouterr().out) if (r["subject"], r["status"]) == ("mine.good", "failed")]
    assert [r["name"] for r in failed] == ["weights"]
    assert "holds loss.scale" in failed[0]["message"]
    assert "names behind 'net.' are read with --weights-prefix net.=" in failed[0]["message"]
    assert main(["check", "mine.good", "--plugin", plugin, "--weights", file, "--weights-prefix", "net.="]) == 0
    assert "fresh head.bias, head.weight" in capsys.readouterr().out


@pytest.mark.parametrize("fault", ["import no_such_library", "def bench_add_models(): no_such_name"])
def test_debug_shows_the_traceback_of_a_plugin_that_cannot_be_loaded(tmp_path, capsys, fault):
    """An observer too, which gives nothing that could be checked."""
    path = tmp_path / "watching.py"
    marked = "from bench import hookimpl\n\n@hookimpl\ndef bench_cell_finish(record): pass\n\n"
    path.write_text(f"{marked}{'@hookimpl' if 'def' in fault else ''}\n{fault}\n", encoding="utf-8")
    assert main(["check", str(path)]) == 2
    err = capsys.readouterr().err
    assert f"file {path}: " in err
    assert "`bench check all --debug`, with the same --plugin, shows the traceback" in err
    assert "Traceback" not in err
    assert main(["check", str(path), "--debug"]) == 2
    err = capsys.readouterr().err
    assert "Traceback (most recent call last)" in err
    assert f'File "{path}", line 7' in err
    assert f"raised by file {path}" in err
    path.write_text(marked, encoding="utf-8")
    assert main(["check", str(path)]) == 2
    assert "observers are tried by `bench run --plugin FILE`" in capsys.readouterr().err
