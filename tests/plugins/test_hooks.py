"""The seam: every hook documented, misspelt and unmarked ones refused, observers called."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable

import pytest

from bench import hookimpl
from bench.builtin import bench_add_launchers, bench_add_protocols, bench_add_reporters
from bench.errors import PluginError
from bench.plugins import hookspecs
from bench.plugins.checks import KINDS
from bench.plugins.discovery import load_modules, plugin_manager
from bench.plugins.specs import ModelSpec, ProtocolSpec
from bench.testing.fakes import fake_plugin

HOOKS = sorted(name for name, _ in inspect.getmembers(hookspecs, inspect.isfunction) if name.startswith("bench_"))


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_is_a_documented_and_typed_spec(name: str) -> None:
    function = getattr(hookspecs, name)
    assert getattr(plugin_manager().hook, name).has_spec()
    assert len(inspect.getdoc(function) or "") > 20
    assert "return" in function.__annotations__


def test_every_kind_of_the_registry_has_its_hook() -> None:
    assert {kind.hook for kind in KINDS} == {name for name in HOOKS if name.startswith("bench_add_")}
    assert "bench_datasets" not in HOOKS  # the package has this name


def test_managers_are_fresh() -> None:
    one = plugin_manager()
    one.register(fake_plugin("p", [ProtocolSpec(name="x")]))
    assert plugin_manager().get_plugins() == set()


def _refused(module: types.ModuleType) -> str:
    with pytest.raises(PluginError) as caught:
        load_modules(module)
    return str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("bench_add_model", "bench_add_models"),
        ("bench_add_frontend", "bench_add_frontends"),
        ("bench_cell_finnish", "bench_cell_finish"),
    ],
)
def test_a_misspelt_hook_is_refused(wrong: str, right: str) -> None:
    message = _refused(fake_plugin("p", **{wrong: hookimpl(lambda: [])}))
    assert f"{wrong} is no hook; did you mean '{right}'" in message


def test_a_hook_without_its_marker_is_refused() -> None:
    module = fake_plugin("p")
    exec("def bench_add_models(): return []", module.__dict__)
    assert "bench_add_models() is not marked; write @hookimpl above it" in _refused(module)


def test_an_imported_function_is_not_taken_for_a_forgotten_hook() -> None:
    module = fake_plugin("p", [ProtocolSpec(name="x")], bench_add_models=hookspecs.bench_add_models)
    assert "x" in load_modules(module).registry.protocols


def test_a_plugin_without_hooks_is_refused() -> None:
    assert "gives nothing" in _refused(fake_plugin("p"))


def test_a_hook_with_arguments_of_its_own_is_refused() -> None:
    assert "bench_add_models" in _refused(fake_plugin("p", bench_add_models=hookimpl(lambda registry: [])))


def test_a_wrapper_around_an_adding_hook_is_refused() -> None:
    def wrap():
        result = yield
        return result

    assert "cannot be a wrapper" in _refused(fake_plugin("p", bench_add_models=hookimpl(wrapper=True)(wrap)))


def test_a_renamed_implementation_counts() -> None:
    models = hookimpl(specname="bench_add_models")(lambda: [ModelSpec(name="x", factory="m:f")])
    assert "x" in load_modules(fake_plugin("p", give_models=models)).registry.models


def test_observers_are_called_by_name() -> None:
    seen = []

    @hookimpl
    def bench_epoch_end(epoch, scores):
        seen.append((epoch, scores))

    host = load_modules(fake_plugin("p", bench_epoch_end=bench_epoch_end))
    host.hook.bench_epoch_end(cell=None, epoch=3, scores={"accuracy": 0.5})
    assert seen == [(3, {"accuracy": 0.5})]


@pytest.mark.parametrize("give", [bench_add_launchers, bench_add_protocols, bench_add_reporters])
def test_builtin_specs_are_described(give: Callable[[], list[ModelSpec]]) -> None:
    assert all(spec.description for spec in give())


def test_builtin_protocols_say_what_they_select_on() -> None:
    protocols = {spec.name: spec for spec in bench_add_protocols()}
    assert not protocols["paper-style"].ranked
    assert [name for name, spec in protocols.items() if spec.select_on == "test"] == ["paper-style"]
    for spec in protocols.values():
        assert (spec.validation != "none") == (spec.select_on == "validation"), spec.name
