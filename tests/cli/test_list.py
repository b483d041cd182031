"""The command line: quick, light, precise about mistakes."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench import __version__
from bench.__main__ import main
from bench.cli import app, common
from bench.cli.listing import WHAT, _count
from bench.errors import BenchError, NoCellError
from bench.plugins.discovery import load
from bench.testing.fakes import FakeDistribution, entry_points_in, write_distribution

HEAVY = ("torch", "numpy", "pandas", "scipy", "sklearn", "matplotlib", "transformers", "rich")
"""Pydantic is Typer's own: it is imported where Typer reads options, and the host adds nothing to it."""
UNREAD = ("typer", "pydantic", "html", "tomllib", "email.parser")
"""What a plain listing has nothing to read with."""
OWN_HEAVY = (
    "bench.config.recipes",
    "bench.results.records",
    "bench.results.store",
    "bench.planning.plan",
    "bench.data",
    "bench.execution",
)
PLUGIN = """
from bench import DatasetSpec, FrontendSpec, MeasurementSpec, MetricSpec, ModelSpec, ObserverSpec, ProtocolSpec
from bench import TaskInfo, hookimpl

@hookimpl
def bench_add_models():
    return [
        ModelSpec(name="fam.b", factory=":build", frontend="mel", parameters=4_510_000, description="second"),
        ModelSpec(name="fam.a", factory=":build", options={"width": (1, 2)}, sets=("default",)),
        ModelSpec(name="fam.c", factory=":build", alias_of="fam.b", axes={"mode": "knn"}),
    ]

@hookimpl
def bench_add_datasets():
    task = TaskInfo(num_classes=3)
    return [DatasetSpec(name="tones", load=":build", task=task, folds=(1, 2)), DatasetSpec(name="mine", load=":build")]

@hookimpl
def bench_add_frontends():
    return [FrontendSpec(name="mel", factory=":build", trainable=True)]

@hookimpl
def bench_add_metrics():
    return [MetricSpec(name="loss", compute=":build", higher_is_better=False, unit="nats")]

@hookimpl
def bench_add_measurements():
    return [MeasurementSpec(name="carbon", measure=":build", unit="g")]

@hookimpl
def bench_add_protocols():
    return [ProtocolSpec(name="4+1")]

@hookimpl
def bench_add_observers():
    return [ObserverSpec(name="diary", factory=":build")]

def build(task):
    return None
"""
BUILTIN_STUB = """
from bench import LauncherSpec, ReporterSpec, hookimpl

@hookimpl
def bench_add_launchers():
    return [LauncherSpec(name="local", factory="m:f")]

@hookimpl
def bench_add_reporters():
    return [ReporterSpec(name="md", render="m:f", suffix=".md")]
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A command line that sees two fake distributions and no other plugin."""
    fake = FakeDistribution(
        "fake-sounds",
        "3.2",
        {"fake_sounds": PLUGIN, "fake_places": BUILTIN_STUB},
        {"sounds": "fake_sounds", "places": "fake_places"},
    )
    write_distribution(tmp_path, fake)
    monkeypatch.syspath_prepend(tmp_path)
    points = entry_points_in(tmp_path)
    monkeypatch.setattr(common, "load", lambda files, **how: load(files, **how, entry_points=points))
    yield tmp_path
    for name in ("fake_sounds", "fake_places"):
        sys.modules.pop(name, None)


def _json(capsys: pytest.CaptureFixture[str], *argv: str) -> list[dict[str, object]]:
    assert main([*argv, "--json"]) == 0
    listed: list[dict[str, object]] = json.loads(capsys.readouterr().out)
    return listed


@pytest.mark.usefixtures("installed")
def test_models_as_json_hold_every_field_and_the_provider(capsys: pytest.CaptureFixture[str]) -> None:
    models = _json(capsys, "list", "models")
    assert [model["name"] for model in models] == ["fam.a", "fam.b", "fam.c"]
    assert models[1]["parameters"] == 4_510_000
    assert models[0]["parameters"] is None
    assert models[0]["options"] == {"width": [1, 2]}
    assert models[0]["provider"] == {
        "plugin": "sounds",
        "module": "fake_sounds",
        "distribution": "fake-sounds",
        "version": "3.2",
        "file": "",
    }


@pytest.mark.usefixtures("installed")
def test_the_piped_table_is_aligned_and_never_cut(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "models"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    column = head.index("inputs")
    assert [row[column : column + 5] for row in rows] == ["audio"] * 3
    assert rows[1].split() == ["fam.b", "4.51", "M", "scratch", "audio", "mel", "fake-sounds", "second"]
    assert rows[2].endswith("alias of fam.b with mode knn")


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("columns", [40, 80, 200])
def test_a_terminal_gets_the_columns_that_fit_and_aliases_below_their_model(
    columns: int, terminal, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal(columns)
    assert main(["list", "models"]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    lines = shown.splitlines()
    assert max(map(len, (line for line in lines if not line.startswith("(")))) <= columns
    assert [line[:7].rstrip() for line in lines[1:4]] == ["fam.a", "fam.b", "  fam.c"]
    assert "mode knn" in shown
    assert ("(not shown: " in shown) == (columns < 200)
    assert ("fake-sounds" in shown) == (columns == 200)


@pytest.mark.usefixtures("installed")
def test_wide_is_what_a_pipe_gets(terminal, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "models"]) == 0
    piped = capsys.readouterr().out
    terminal(40)
    assert main(["list", "models", "--wide"]) == 0
    assert capsys.readouterr().out == piped


def test_options_of_factories_are_listed_with_their_defaults(
    installed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = installed / "wide.py"
    body = "def build(task, *, width: int = 8, kind='a', seed=0):\n    return None\n"
    spec = 'ModelSpec(name="wide", factory=":build", options={"kind": "b"})'
    head = "from bench import ModelSpec, hookimpl\n@hookimpl\ndef bench_add_models():\n"
    file.write_text(f"{head}    return [{spec}]\n{body}", encoding="utf-8")
    assert main(["list", "models", "--options", "--plugin", str(file)]) == 0
    assert "wide  width: int = 8, kind='b'\n" in capsys.readouterr().out
    found = _json(capsys, "list", "models", "--options", "--plugin", str(file))
    assert found == [{"name": "wide", "options": {"width": "width: int = 8", "kind": "kind='b'"}}]
    assert main(["list", "datasets", "--options"]) == 2
    assert "--options is for models" in capsys.readouterr().err


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("what", WHAT)
def test_everything_can_be_listed_both_ways(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    listed = _json(capsys, "list", what)
    assert listed
    assert main(["list", what]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert len(rows) == len(listed) + 1
    assert [row.split()[0] for row in rows[1:]] == [item["name"] for item in listed]


@pytest.mark.usefixtures("installed")
def test_plugins_say_what_they_give(capsys: pytest.CaptureFixture[str]) -> None:
    places, sounds = _json(capsys, "list", "plugins")
    assert sounds["gives"]["models"] == ["fam.a", "fam.b", "fam.c"]
    assert places["gives"]["launchers"] == ["local"]
    assert 0 <= sounds["import_seconds"] < 600


def test_a_file_is_listed_and_can_be_left_out(installed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = installed / "mine.py"
    file.write_text(BUILTIN_STUB.replace('"local"', '"remote"').replace('"md"', '"mine"'), encoding="utf-8")
    listed = _json(capsys, "list", "launchers", "--plugin", str(file))
    assert [item["name"] for item in listed] == ["local", "remote"]
    listed = _json(capsys, "list", "launchers", "--plugin", str(file), "--no-plugin", "places")
    assert [item["name"] for item in listed] == ["remote"]


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["lst"], "'list'"),
        (["list", "modles"], "did you mean 'models'?"),
        (["list"], "WHAT"),
        (["list", "models", "--jsn"], "--json"),
        (["list", "models", "--no-plugin", "sound"], "Did you mean 'sounds'"),
        (["list", "models", "--plugin", "gone.py"], "it is missing"),
    ],
)
def test_a_mistake_is_one_message_and_exit_status_2(
    argv: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 2
    shown = capsys.readouterr()
    assert expected in shown.err
    assert shown.out == ""
    assert "Traceback" not in shown.err


def test_what_a_plugin_prints_does_not_break_json(installed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = installed / "loud.py"
    source = BUILTIN_STUB.replace('"local"', '"remote"').replace('"md"', '"mine"')
    file.write_text("print('hello from a plugin')\n" + source, encoding="utf-8")
    assert main(["list", "launchers", "--json", "--plugin", str(file)]) == 0
    shown = capsys.readouterr()
    assert len(json.loads(shown.out)) == 2
    assert "hello from a plugin" in shown.err


def test_a_slow_plugin_is_named_on_standard_error(
    installed: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(common, "SLOW_IMPORT_SECONDS", 0.0)
    assert main(["list", "models", "--json"]) == 0
    shown = capsys.readouterr()
    assert "note: plugin 'sounds' took" in shown.err
    json.loads(shown.out)


@pytest.mark.parametrize(
    ("raised", "status"), [(BenchError("mend this"), 2), (NoCellError("nothing left"), 4), (KeyError("oops"), 70)]
)
def test_errors_become_exit_statuses(
    raised: Exception, status: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: object) -> None:
        raise raised

    monkeypatch.setattr(common, "load", lambda *_, **__: fail())
    assert main(["list", "models"]) == status
    error = capsys.readouterr().err
    assert ("Traceback" in error) == (status == 70)
    assert "oops" in error if status == 70 else error == f"error: {raised}\n"


def test_what_a_verb_returns_is_the_exit_status(monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("bench.cli.report")

    def verb(what: str, *, twice: bool = False) -> int:
        return len(what) * (2 if twice else 1)

    monkeypatch.setattr(module, "main", verb)
    assert main(["report", "abc"]) == 3
    assert main(["report", "abc", "--twice"]) == 6
    assert main(["report", ""]) == 0


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"bench {__version__}\n"


def test_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    words = " ".join(shown.split())
    for verb, line in app.VERBS.items():
        assert f"  {verb} " in shown
        assert f"{verb} {line}" in words


@pytest.mark.parametrize("verb", app.VERBS)
def test_every_verb_exists_and_says_the_same_in_both_helps(verb: str) -> None:
    if importlib.util.find_spec(f"bench.cli.{verb}") is None:
        pytest.fail(f"bench/cli/{verb}.py is missing")
    doc = inspect.getdoc(importlib.import_module(f"bench.cli.{verb}").main)
    assert doc is not None
    assert doc.splitlines()[0] == app.VERBS[verb]


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (None, "?"),
        (0, "0"),
        (850, "850"),
        (4_510_000, "4.51 M"),
        (11_000_000, "11.0 M"),
        (86_600_000, "86.6 M"),
        (123_400_000, "123 M"),
        (999_999, "1.00 M"),
        (999_400, "999 k"),
    ],
)
def test_counts(count: int | None, text: str) -> None:
    assert _count(count) == text


FEW = 450
"""Modules; 330 are imported where pydantic is, torch would bring 2 000. Seconds are the machine's."""


def _fresh(argv: list[str], tmp_path: Path) -> set[str]:
    """Modules imported by a new process."""
    code = (
        "import sys\nfrom bench.__main__ import main\nstatus = main(sys.argv[2:])\n"
        "open(sys.argv[1], 'w').write(' '.join(sys.modules))\nsys.exit(status)"
    )
    command = [sys.executable, "-P", "-c", code, str(tmp_path / "modules"), *argv]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set((tmp_path / "modules").read_text(encoding="utf-8").split())


def _host_is_installed() -> bool:
    import importlib.metadata

    return any(point.value == "bench.builtin" for point in importlib.metadata.entry_points(group="bench"))


@pytest.mark.parametrize("argv", [["--help"], ["list", "models"], ["list", "datasets", "--json"], ["list", "--help"]])
def test_light_and_quick(argv: list[str], tmp_path: Path) -> None:
    if not argv[-1].endswith("help") and not _host_is_installed():
        pytest.skip("bench-audio is not installed here, so that there are no plugins to list: pip install -e .")
    modules = _fresh(argv, tmp_path)
    assert modules.isdisjoint({*HEAVY, *OWN_HEAVY})
    assert len(modules) <= FEW
    if argv == ["list", "models"]:
        assert modules.isdisjoint(UNREAD)


def test_a_plain_listing_does_without_typer(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    modules = _fresh(["list", "protocols"], tmp_path)
    assert modules.isdisjoint({"typer", "pydantic"})
    assert main(["list", "protocols"]) == 0
    plain = capsys.readouterr().out
    assert main(["list", "--", "protocols"]) == 0
    assert capsys.readouterr().out == plain
