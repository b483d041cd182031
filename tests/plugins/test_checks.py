"""Types and closed sets of words: every field of every spec is checked when the plugin is discovered."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.allowed import is_name
from bench.clips import TaskInfo
from bench.errors import PluginError, short
from bench.plugins.checks import KINDS, Kind
from bench.plugins.discovery import load, load_modules
from bench.plugins.specs import DatasetSpec, FrontendSpec, MetricSpec, ModelSpec, ProtocolSpec, ReporterSpec
from bench.testing.fakes import FakeDistribution, entry_points_in, fake_plugin, write_distribution

FIELDS = [(kind, field.name) for kind in KINDS for field in dataclasses.fields(kind.spec)]
TASK_FIELDS = [field.name for field in dataclasses.fields(TaskInfo)]
WRONG = (object(), 5j, b"bytes", {1, 2}, range(3), lambda: None)
"""What no field of any spec may hold."""


def given_by(kind: Kind, **values: Any) -> Any:
    """The smallest spec of a kind, with some values of its own."""
    required = {
        field.name: "json:loads" if field.name == kind.factory else ".x" if field.name == "suffix" else "x"
        for field in dataclasses.fields(kind.spec)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    return kind.spec(**(required | values))


def refusal(spec: Any) -> str:
    with pytest.raises(PluginError) as caught:
        load_modules(fake_plugin("faulty", [spec]))
    return str(caught.value)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.field)
def test_the_smallest_spec_of_each_kind_passes(kind: Kind) -> None:
    catalog = getattr(load_modules(fake_plugin("fine", [given_by(kind)])).registry, kind.field)
    assert list(catalog) == ["x"]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(FIELDS), st.sampled_from(WRONG))
def test_a_value_of_a_wrong_type_is_refused_whatever_the_field(place: tuple[Kind, str], wrong: Any) -> None:
    kind, field = place
    message = refusal(given_by(kind, **{field: wrong}))
    assert "'faulty'" in message
    assert f"{kind.label} {wrong!r}" in message or f"{kind.label} 'x': {field} " in message
    assert "it must be" in message or "known:" in message


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.sampled_from(WRONG),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(FIELDS), ANYTHING)
def test_whatever_a_field_holds_is_fine_or_named(place: tuple[Kind, str], value: Any) -> None:
    kind, field = place
    message = ""
    try:
        registry = load_modules(fake_plugin("any", [given_by(kind, **{field: value})])).registry
    except PluginError as error:
        message = str(error)
    assert (
        f"plugin 'any' of (in memory): {kind.label} " in message if message else is_name(*getattr(registry, kind.field))
    )


@pytest.mark.parametrize(
    "name", ["", "..", "a/b", "a\\b", ".a", "a.", "A", "\u00e4", "a b", "a\n", "\x1b[31m", "a\0", "x" * 65, "\u202ea"]
)
def test_a_name_is_part_of_paths_and_commands(name: str) -> None:
    for kind in KINDS:
        message = refusal(given_by(kind, name=name))
        assert f"name {short(name)}; it must be 1 to 64 of a-z, 0-9, " in message
        assert not set(message) & {"\x1b", "\0", "\u202e"}


@pytest.mark.parametrize(
    "text", ["two\nlines", "\x1b[2J", "\x9b31m", "right\u202eleft", "x" * 3000, "\ud800"], ids=ascii
)
def test_texts_are_one_line_without_control_characters(text: str) -> None:
    for kind in KINDS:
        assert "description " in refusal(given_by(kind, description=text))


class Hostile(dict[str, Any]):
    """A mapping of a plugin's own."""

    def __repr__(self) -> str:
        raise RuntimeError("no words")

    def items(self) -> Any:
        raise RuntimeError("no items")


def test_values_that_raise_when_they_are_looked_at_are_named() -> None:
    assert "bench_add_models() cannot be checked: RuntimeError: no items" in refusal(
        ModelSpec(name="x", factory="m:f", options=Hostile())
    )
    assert "sets (Hostile, whose repr raises RuntimeError), a Hostile; it must be tuple[str, ...]" in refusal(
        ModelSpec(name="x", factory="m:f", sets=Hostile())  # type: ignore[arg-type]
    )
    assert "select_on (Hostile, whose repr raises RuntimeError); known:" in refusal(
        ProtocolSpec(name="x", divide="m:f", select_on=Hostile())  # type: ignore[arg-type]
    )


def test_all_faults_stand_in_one_report_and_the_other_plugins_go_on(tmp_path: Path, monkeypatch: Any) -> None:
    source = "from bench import ModelSpec, hookimpl\n@hookimpl\ndef bench_add_models():\n    return [{}]\n"
    spec = "ModelSpec(name='..', factory='m', sets=5, recipes={'*': {'lr': 'x'}}), ModelSpec(name='b', factory='m:f')"
    bad = FakeDistribution("dist-bad", "2.5", {"bad": source.format(spec)}, {"bad": "bad"})
    good = "ModelSpec(name='a', factory='m:f')"
    write_distribution(tmp_path, bad)
    write_distribution(tmp_path, FakeDistribution("dist-good", "1", {"good": source.format(good)}, {"good": "good"}))
    monkeypatch.syspath_prepend(tmp_path)
    points = entry_points_in(tmp_path)
    with pytest.raises(PluginError) as caught:
        load(entry_points=points)
    message = str(caught.value)
    assert message.count("plugin 'bad' of dist-bad 2.5: model '..': ") == 3
    for fault in ("name '..'; it must be", "sets 5, an int; it must be", "factory 'm' is not of the form"):
        assert fault in message
    assert list(load(without=["bad"], entry_points=points).registry.models) == ["a"]


@pytest.mark.parametrize("field", TASK_FIELDS)
def test_a_task_is_checked_with_its_data_set(field: str) -> None:
    task = TaskInfo(**({"num_classes": 2} | {field: object()}))
    assert f"data set 'x': task.{field} " in refusal(DatasetSpec(name="x", load="json:loads", task=task))


def closed(hint: Any) -> bool:
    return get_origin(hint) is Literal or any(closed(arg) for arg in get_args(hint))


CLOSED = [(kind, name) for kind in KINDS for name, hint in get_type_hints(kind.spec).items() if closed(hint)]


@pytest.mark.parametrize(("kind", "field"), CLOSED, ids=lambda value: getattr(value, "field", value))
def test_an_unknown_word_is_refused_with_what_is_allowed(kind: Kind, field: str) -> None:
    hint = get_type_hints(kind.spec)[field]
    values = {Literal: "typpo", tuple: ("typpo",)}
    origin = get_origin(hint)
    message = refusal(given_by(kind, **{field: values.get(origin, {"typpo": "x"})}))
    assert f"{kind.label} 'x': {field}" in message
    assert "'typpo'; " in message
    assert "known: " in message or "did you mean" in message


def test_three_typos_in_one_protocol_are_three_problems() -> None:
    protocol = ProtocolSpec(name="mine", validation="next-fold", select_on="val", ranked="yes")
    message = refusal(protocol)
    assert "3 problems" in message
    assert "protocol 'mine': validation 'next-fold'; did you mean 'next_fold'?" in message
    assert "protocol 'mine': select_on 'val'; " in message
    assert "protocol 'mine': ranked 'yes', a str; it must be bool" in message


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (ModelSpec(name="x", factory="m:f", sets=5), "sets 5, an int; it must be tuple[str, ...]"),
        (ModelSpec(name="x", factory="m:f", sets="default"), "sets 'default', a str; it must be a tuple: ('default',)"),
        (ModelSpec(name="x", factory="m:f", parameters="many"), "parameters 'many', a str; it must be int"),
        (ModelSpec(name="x", factory="m:f", parameters=True), "parameters True, a bool; it must be int"),
        (ModelSpec(name="x", factory="m:f", recipes={"*": 5}), "recipes['*'] 5, an int; it must be Mapping"),
        (ModelSpec(name="x", factory="m:f", recipes={"*@finetun": {}}), "mode 'finetun'; did you mean 'finetune'?"),
        (ModelSpec(name="x", factory="m:f", axes={"mode": "prob"}), "axes['mode'] 'prob'; did you mean 'probe'?"),
        (ModelSpec(name="x", factory="m:f", axes={"inputs": "sound"}), "'sound' is no modality"),
        (ModelSpec(name="x", factory="m:f", axes={"weights": "mask"}), "axes['weights'] 'mask'; did you mean 'masked'"),
        (ModelSpec(name="x", factory="m:f", recipes={"*": {"lr": "x"}}), "recipes['*']: recipe.lr = 'x': Input should"),
        (ModelSpec(name="x", factory="m:f", recipes={"full": {"epoch": 3}}), "recipe.epoch is no setting; did you"),
        (ModelSpec(name="x", factory="m:f", recipes={"ful": {}}), "recipes['ful']: recipe 'ful'; did you mean 'full'?"),
        (ModelSpec(name="x", factory="m:f", parameters=-1), "parameters -1; it must be 0 or more"),
        (ModelSpec(name="x", factory="m:f", sets=("a", "a")), "sets holds 'a' twice; give each once"),
        (DatasetSpec(name="x", load="m:f", settings={"rol": 1}), "settings: recipe.rol is no setting; did you"),
        (DatasetSpec(name="x", load="m:f", settings={"texture": 1}), "settings: texture = 1: it must be True or False"),
        (DatasetSpec(name="x", load="m:f", recipe="qick"), "recipe 'qick'; did you mean 'quick'?"),
        (DatasetSpec(name="x", load="m:f", protocols=()), "protocols () name none"),
        (DatasetSpec(name="x", load="m:f", url="file:///etc"), "url 'file:///etc'; it must be empty or an address"),
        (DatasetSpec(name="x", load="m:f", archive_sha256="abc"), "archive_sha256 'abc'; it must be empty or 64 hex"),
        (DatasetSpec(name="x", load="m:f", task=TaskInfo(num_classes=1)), "task.num_classes 1; it must be 2 or more"),
        (ProtocolSpec(name="x", version=0), "version 0; it must be 1 or more"),
        (MetricSpec(name="x", compute="m:f", unit="fracton"), "unit 'fracton'; did you mean 'fraction'?"),
        (MetricSpec(name="x", compute="m:f", task_types=("multilabel",)), "did you mean 'multi_label'?"),
        (
            DatasetSpec(name="x", load="m:f", task=TaskInfo(num_classes=2, modalities=("audi",))),
            "task.modalities 'audi'; did you mean 'audio'?",
        ),
        (
            DatasetSpec(name="x", load="m:f", task=TaskInfo(num_classes=2, image_shape=(1, 28))),
            "task.image_shape (1, 28), a tuple; it must be tuple[int, int, int]",
        ),
    ],
)  # fmt: skip
def test_a_fault_is_named_with_its_value_and_what_is_allowed(spec: Any, expected: str) -> None:
    assert expected in refusal(spec)


def test_a_unit_of_its_own_is_fine() -> None:
    metric = MetricSpec(name="x", compute="m:f", unit="dB")
    assert load_modules(fake_plugin("fine", [metric])).registry.metrics["x"].spec.unit == "dB"


def test_names_of_other_specs_must_exist() -> None:
    dataset = DatasetSpec(name="x", load="m:f", protocols=("4+l",))
    with pytest.raises(PluginError, match=r"data set 'x': protocols '4\+l'; did you mean '4\+1'"):
        load_modules(fake_plugin("p", [dataset, ProtocolSpec(name="4+1")]))
    alias = ModelSpec(name="b", factory="m:f", alias_of="a", axes={"frontend": "mell"})
    with pytest.raises(PluginError, match=r"axes\['frontend'\] 'mell'; did you mean 'mel'"):
        load_modules(
            fake_plugin("p", [alias, ModelSpec(name="a", factory="m:f"), FrontendSpec(name="mel", factory="m:f")])
        )


@pytest.mark.parametrize("suffix", ["md", "", ".", "/../x.md", ".a b"])
def test_a_suffix_that_is_no_end_of_a_file_name_is_refused(suffix: str) -> None:
    said = f"reporter 'x': suffix {suffix!r}; it must be the end of a file name, such as '.csv'"
    assert said in refusal(ReporterSpec(name="x", render="json:loads", suffix=suffix))
