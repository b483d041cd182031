"""Types and closed sets of words: every field of every spec is checked when the plugin is discovered."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.clips import TaskInfo
from bench.errors import PluginError
from bench.plugins.checks import KINDS, Kind
from bench.plugins.discovery import load_modules
from bench.plugins.specs import DatasetSpec, FrontendSpec, MetricSpec, ModelSpec, ProtocolSpec, ReporterSpec
from bench.testing.fakes import fake_plugin

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
