"""Every way in which a plugin can go wrong is reported, all of them together, and never silently."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.errors import PluginError, UnknownNameError
from bench.plugins.discovery import discover, load, load_modules
from bench.plugins.factories import load_factory
from bench.plugins.sources import _name_and_version
from bench.plugins.specs import (
    DatasetSpec,
    FrontendSpec,
    LauncherSpec,
    MetricSpec,
    ModelSpec,
    ProtocolSpec,
    ReporterSpec,
)
from bench.testing.fakes import FakeDistribution, entry_points_in, fake_plugin, write_distribution

ROOT = Path(__file__).resolve().parents[2]
MODEL = """
from bench import ModelSpec, hookimpl

@hookimpl
def bench_add_models():
    return [ModelSpec(name="{name}", factory=":build")]

def build(task):
    return "{name} for " + str(task)
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on ``sys.path`` for fake distributions; what they import is forgotten afterwards."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setattr(sys, "path", [*sys.path, str(folder)])
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if str(folder) in str(getattr(sys.modules[name], "__file__", "")) or name.startswith("bench_file_"):
            del sys.modules[name]


def _install(site: Path, plugin: str, source: str, *, distribution: str = "", module: str = "") -> None:
    module = module or f"mod_{plugin}"
    fake = FakeDistribution(distribution or f"dist-{plugin}", "1.5", {module: source}, {plugin: module})
    write_distribution(site, fake)


def _file(folder: Path, name: str, source: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(source, encoding="utf-8")
    return folder / name


def _error(site: Path, *files: Path) -> str:
    with pytest.raises(PluginError) as caught:
        discover(files, entry_points=entry_points_in(site))
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_a_distribution_gives_a_model_with_its_provenance(site: Path) -> None:
    _install(site, "a", MODEL.format(name="fam.small"))
    registry = discover(entry_points=entry_points_in(site))
    entry = registry.models["fam.small"]
    assert entry.factory == "mod_a:build"
    assert (entry.provenance.plugin, entry.provenance.distribution, entry.provenance.version) == ("a", "dist-a", "1.5")
    assert registry.plugins == (entry.provenance,)
    assert load_factory(entry.factory)("T") == "fam.small for T"


def test_the_order_depends_on_names_alone(site: Path) -> None:
    for name in "cab":
        _install(site, name, MODEL.format(name=f"m{name}"))
    points = entry_points_in(site)
    forward, backward = discover(entry_points=points), discover(entry_points=points[::-1])
    assert list(forward.models) == list(backward.models) == ["ma", "mb", "mc"]
    assert forward == backward


def test_installed_entry_points_are_found_on_the_path(site: Path) -> None:
    _install(site, "a", MODEL.format(name="seen"))
    write_distribution(site, FakeDistribution("fake-host", entry_points={"host": "bench.builtin"}))
    found = importlib.metadata.entry_points(group="bench")
    mine = [point for point in found if point.value in {"mod_a"}]
    assert "seen" in discover(entry_points=mine).models


def test_without_any_installed_plugin_the_advice_is_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **_: [])
    with pytest.raises(PluginError, match="pip install"):
        discover()


def test_all_broken_plugins_are_reported_together(site: Path) -> None:
    _install(site, "good", MODEL.format(name="good"))
    _install(site, "missing", "import no_such_module_here\n")
    _install(site, "raising", "\n\nraise RuntimeError('bad\\nweather')\n")
    _install(site, "leaving", "import sys\nsys.exit(3)\n")
    _install(site, "syntax", "def f(:\n")
    message = _error(site)
    assert "4 problems" in message
    assert "plugin 'missing' of dist-missing 1.5: ModuleNotFoundError: No module named 'no_such_module_here'" in message
    assert f"RuntimeError: bad weather ({site / 'mod_raising.py'}, line 3)" in message
    assert f"SystemExit: 3 ({site / 'mod_leaving.py'}, line 2)" in message
    assert f"SyntaxError: invalid syntax ({site / 'mod_syntax.py'}, line 1)" in message
    assert "--no-plugin leaving --no-plugin missing --no-plugin raising --no-plugin syntax" in message
    registry = discover(without=["leaving", "missing", "raising", "syntax"], entry_points=entry_points_in(site))
    assert list(registry.models) == ["good"]


def test_an_entry_point_to_a_module_that_is_gone(site: Path) -> None:
    write_distribution(site, FakeDistribution("ghost", entry_points={"ghost": "ghost_module"}))
    assert "ModuleNotFoundError: No module named 'ghost_module'" in _error(site)


def test_two_distributions_with_one_plugin_name(site: Path) -> None:
    _install(site, "same", MODEL.format(name="m1"), distribution="first", module="one")
    _install(site, "same", MODEL.format(name="m2"), distribution="second", module="two")
    message = _error(site)
    assert "one of first 1.5" in message
    assert "of second 1.5" in message
    registry = discover(without=["second"], entry_points=entry_points_in(site))
    assert list(registry.models) == ["m1"]


def test_one_distribution_twice_on_the_path_is_one_plugin(site: Path, tmp_path: Path) -> None:
    _install(site, "a", MODEL.format(name="once"))
    _install(tmp_path / "again", "a", MODEL.format(name="once"))
    registry = discover(entry_points=entry_points_in(site, tmp_path / "again"))
    assert list(registry.models) == ["once"]
    assert len(registry.plugins) == 1


def test_one_module_under_two_plugin_names(site: Path) -> None:
    source = MODEL.format(name="m")
    write_distribution(site, FakeDistribution("d", modules={"mod": source}, entry_points={"a": "mod", "b": "mod"}))
    assert "mod is already the plugin 'a'" in _error(site)


@pytest.mark.parametrize(
    "specs",
    [
        (ModelSpec(name="x", factory="m:f"), "model"),
        (DatasetSpec(name="x", load="m:f"), "data set"),
        (FrontendSpec(name="x", factory="m:f"), "front end"),
        (MetricSpec(name="x", compute="m:f"), "metric"),
        (LauncherSpec(name="x", factory="m:f"), "launcher"),
        (ReporterSpec(name="x", render="m:f", suffix=".x"), "reporter"),
        (ProtocolSpec(name="x"), "protocol"),
    ],
    ids=lambda pair: pair[1],
)
def test_a_name_given_twice_names_both_givers(specs: tuple[object, str]) -> None:
    spec, label = specs
    with pytest.raises(PluginError) as caught:
        load_modules(fake_plugin("left", [spec]), fake_plugin("right", [spec]))
    message = str(caught.value)
    assert f"{label} 'x' is also given by" in message
    assert "'left'" in message
    assert "'right'" in message


def test_a_plugin_that_gives_a_name_twice() -> None:
    spec = ModelSpec(name="x", factory="m:f")
    with pytest.raises(PluginError, match="'x' is itself a second time"):
        load_modules(fake_plugin("left", [spec, spec]))


def test_leaving_out_what_is_not_there(site: Path) -> None:
    _install(site, "classical", MODEL.format(name="m"))
    with pytest.raises(UnknownNameError, match="Did you mean 'classical'"):
        discover(without=["clasical"], entry_points=entry_points_in(site))


BODY = "from bench import ModelSpec, hookimpl\n@hookimpl\ndef bench_add_models():\n    {body}\n"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("raise ValueError('no weights')", "bench_add_models() raised ValueError: no weights ("),
        ("yield 1 / 0", "bench_add_models() raised ZeroDivisionError: division by zero ("),
        ("pass", "must return a list of ModelSpec, not None; is a `return` missing?"),
        ("return 'abc'", "must return a list of ModelSpec, not 'abc', a str"),
        ("return 7", "must return a list of ModelSpec, not 7, a int"),
        ("return ModelSpec(name='a', factory='b:c')", "returned one ModelSpec; return a list: [ModelSpec(...)]"),
        ("return [3]", "bench_add_models() gave 3, a int; it must give ModelSpec"),
        ("return [ModelSpec(name='A b', factory='b:c')]", "name 'A b'; it must be 1 to 64 of a-z"),
        ("return [ModelSpec(name='', factory='b:c')]", "name ''; it must be 1 to 64 of a-z"),
        ("return [ModelSpec(name='all', factory='b:c')]", "'all' is reserved"),
        ("return [ModelSpec(name='a', factory='b.c')]", "factory 'b.c' is not of the form"),
        ("return [ModelSpec(name='a', factory=len)]", "factory <built-in function len>, a builtin_function_or_method"),
        ("return [ModelSpec(name='..', factory='b:c')]", "name '..'; it must be 1 to 64 of a-z"),
        ("return [ModelSpec(name='a', factory='b:c', tokenizer='b.c')]", "tokenizer 'b.c' is not of the form"),
        ("return [ModelSpec(name='a', factory=':bench_add_model')]", "did you mean 'bench_add_models'?"),
        ("return [ModelSpec(name='a', factory='b:c', modalities=('sound',))]", "'a': modalities 'sound'; known: audio"),
        ("return [ModelSpec(name='a', factory='b:c', axes={'feeding': 'fly'})]", "set alias_of"),
        ("return [ModelSpec(name='a', factory='b:c', alias_of='b')]", "alias_of 'b'; known: a"),
        ("return [ModelSpec(name='a', factory='b:c', frontend='mel')]", "model 'a': frontend 'mel'; known: none"),
        ("return [ModelSpec(nam='a')]", "raised TypeError"),
    ],
)
def test_a_hook_that_breaks_its_contract(site: Path, body: str, expected: str) -> None:
    _install(site, "p", BODY.format(body=body))
    message = _error(site)
    assert "plugin 'p' of dist-p 1.5" in message
    assert expected in message


def test_an_alias_of_an_alias_and_an_unknown_axis() -> None:
    models = [
        ModelSpec(name="a", factory="m:f"),
        ModelSpec(name="b", factory="m:f", alias_of="a", axes={"mode": "knn"}),
        ModelSpec(name="c", factory="m:f", alias_of="b"),
    ]
    with pytest.raises(PluginError, match="alias_of 'b', which is itself an alias"):
        load_modules(fake_plugin("p", models))
    with pytest.raises(PluginError, match="axes key 'mod'; did you mean 'mode'"):
        load_modules(fake_plugin("p", [ModelSpec(name="b", factory="m:f", alias_of="a", axes={"mod": "knn"})]))


def test_a_model_of_its_own_may_fix_how_it_is_trained() -> None:
    model = ModelSpec(name="a", factory="m:f", axes={"mode": "finetune", "weights": "masked", "inputs": "audio"})
    assert load_modules(fake_plugin("p", [model])).registry.models["a"].spec.axes["mode"] == "finetune"


def test_a_slow_plugin_is_timed(site: Path) -> None:
    _install(site, "slow", "import time\ntime.sleep(0.2)\n" + MODEL.format(name="m"))
    _install(site, "fast", MODEL.format(name="n"))
    start = time.perf_counter()
    seconds = load(entry_points=entry_points_in(site)).import_seconds
    assert seconds["slow"] >= 0.2
    assert 0 < seconds["fast"] <= time.perf_counter() - start - seconds["slow"]  # none is charged with another's


def test_a_file_is_a_plugin_under_a_name_of_its_own(site: Path, tmp_path: Path) -> None:
    file = _file(tmp_path / "mine", "my_model.py", MODEL.format(name="mine"))
    entry = discover([file, file], entry_points=[]).models["mine"]
    assert entry.factory == f"{entry.provenance.module}:build"
    assert entry.provenance.module.startswith("bench_file_")
    assert entry.provenance.file == str(file)
    assert str(entry.provenance) == f"file {file}"
    assert load_factory(entry.factory)(1) == "mine for 1"
    again = discover([file], entry_points=[]).models["mine"]
    assert again == entry


def test_two_files_of_one_name_in_different_folders(site: Path, tmp_path: Path) -> None:
    one = _file(tmp_path / "one", "model.py", MODEL.format(name="m1"))
    two = _file(tmp_path / "two", "model.py", MODEL.format(name="m2"))
    assert list(discover([one, two], entry_points=[]).models) == ["m1", "m2"]
    assert set(load([one, two], entry_points=[]).import_seconds) == {str(one), str(two)}
    assert list(discover([one, two], without=["model.py"], entry_points=[]).models) == []


def test_the_folder_of_a_file_comes_last_on_the_path(site: Path, tmp_path: Path) -> None:
    file = _file(tmp_path / "mine", "my_model.py", "import helper_beside_it\n" + MODEL.format(name="mine"))
    _file(tmp_path / "mine", "helper_beside_it.py", "")
    discover([file], entry_points=[])
    assert sys.path[-1] == str(tmp_path / "mine")
    sys.modules.pop("helper_beside_it")


def test_a_decoy_beside_a_file_shadows_nothing(tmp_path: Path) -> None:
    file = _file(tmp_path, "my_model.py", MODEL.format(name="mine"))
    for decoy in ("torch", "numpy", "pluggy", "json"):
        _file(tmp_path, f"{decoy}.py", "raise RuntimeError('decoy')\n")
    code = (
        "import sys, pathlib, importlib.util; from bench.plugins.discovery import discover\n"
        f"discover([pathlib.Path({str(file)!r})], entry_points=[])\n"
        "assert sys.path[-1] == sys.argv[1]\n"
        "assert not any(importlib.util.find_spec(n).origin.startswith(sys.argv[1]) for n in ('torch', 'numpy', 'json'))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, str(tmp_path)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = 1\ndef f(:\n", "SyntaxError: invalid syntax ({file}, line 2)"),
        ("import json\njson.loads('{')\n", "JSONDecodeError"),
        ("import json\njson.loads('{')\n", "({file}, line 2)"),
        ("x = 1\n", "no function marked @hookimpl"),
    ],
)
def test_a_broken_file_names_the_line(site: Path, tmp_path: Path, source: str, expected: str) -> None:
    file = _file(tmp_path, "broken.py", source)
    message = _error(site, file)
    assert expected.format(file=file) in message
    assert f"leave out --plugin {file}" in message
    assert "--no-plugin" not in message


def test_an_import_that_replaces_json_is_named_and_undone(site: Path, tmp_path: Path) -> None:
    path = tmp_path / "patching.py"
    path.write_text(MODEL.format(name="own.model") + "import json\njson.dumps = lambda *_, **__: 'patched'\n")
    with pytest.raises(PluginError, match=r"its import replaces json\.dumps"):
        load([path], entry_points=[])
    assert json.dumps([1]) == "[1]"


def test_a_file_that_raised_is_no_module(site: Path, tmp_path: Path) -> None:
    file = _file(tmp_path, "broken.py", "raise ValueError('no')\n")
    before = set(sys.modules)
    assert "ValueError: no" in _error(site, file)
    assert not any(name.startswith("bench_file_") for name in set(sys.modules) - before)


def test_a_file_that_is_no_python_file(site: Path, tmp_path: Path) -> None:
    assert "it is missing" in _error(site, tmp_path / "gone.py")
    assert "it is none" in _error(site, tmp_path)
    assert "it is none" in _error(site, _file(tmp_path, "notes.txt", ""))


def test_discovery_imports_nothing_heavy(tmp_path: Path) -> None:
    file = _file(tmp_path, "my_model.py", MODEL.format(name="mine"))
    code = (
        "import sys, pathlib; from bench.plugins.discovery import discover\n"
        f"discover([pathlib.Path({str(file)!r})], entry_points=[])\n"
        "heavy = {'torch', 'numpy', 'pandas', 'pydantic', 'typer', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("factory", "expected"),
    [
        ("json", "is not of the form"),
        (":build", "is not of the form"),
        ("no_such_pkg.sub:f", "there is no module 'no_such_pkg'"),
        ("json.nothing:f", "there is no module 'json.nothing'"),
        ("json:lods", "did you mean 'loads'"),
        ("math:pi", "names a float, which cannot be called"),
        ("bench_file_0123456789ab:build", "give the same --plugin FILE"),
    ],
)
def test_a_factory_that_cannot_be_loaded(factory: str, expected: str) -> None:
    with pytest.raises(PluginError, match=expected):
        load_factory(factory)


def test_a_factory_whose_module_needs_what_is_not_installed(site: Path) -> None:
    _file(site, "needy.py", "import not_installed_here\n")
    _file(site, "torn.py", "def f(:\n")
    with pytest.raises(PluginError, match="needy needs the module 'not_installed_here'"):
        load_factory("needy:build")
    with pytest.raises(PluginError, match="importing torn failed: SyntaxError"):
        load_factory("torn:build")


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("METADATA", "Metadata-Version: 2.1\nName: odd-one\nVersion: 2.0\n\nName: not this\n\nVersion: nor this\n"),
        ("METADATA", "Name: odd-one\r\nVersion:2.0\r\nSummary: Name: other\r\n\r\nVersion: 3\r\n"),
        ("METADATA", "Version: 2.0 \nDescription: many\n  Version: 9\n  lines\nName:  odd-one"),
        ("PKG-INFO", "Name: odd-one\nVersion: 2.0\n"),
    ],
)
def test_a_distribution_is_named_as_its_metadata_name_it(tmp_path, file: str, text: str) -> None:
    (tmp_path / f"odd_one-2.0.{'dist' if file == 'METADATA' else 'egg'}-info").mkdir()
    (next(tmp_path.iterdir()) / file).write_bytes(text.encode())
    found = importlib.metadata.PathDistribution(next(tmp_path.iterdir()))
    assert _name_and_version(importlib.metadata.PathDistribution(tmp_path)) == _name_and_version(None) == ("", "")
    assert _name_and_version(found) == (found.metadata["Name"] or "", (found.metadata["Version"] or "").strip())
