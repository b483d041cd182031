"""Rows of a section are told apart wherever they are named without their columns."""

from __future__ import annotations

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.grouping import RowKey
from bench.reports import formatting
from bench.reports.headline import _name

AXES = {
    "model": ("net", "tree"),
    "mode": ("scratch", "finetune"),
    "weights": ("random", "masked"),
    "inputs": ("audio", "audio+image", "audio+image.derived", "audio.missing+image"),
    "frontend": ("nnaudio", "mfcc"),
    "feeding": ("fly", "stored"),
    "recipe": ("quick", "quick~0d634d"),
    "precision": ("fp32", "bf16"),
    "clip_samples": (16_000, 80_000),
}
keys = st.builds(RowKey, **{name: st.sampled_from(values) for name, values in AXES.items()})


def section_of(*keys: RowKey) -> SimpleNamespace:
    return SimpleNamespace(rows=[SimpleNamespace(key=key, model=SimpleNamespace(inputs={})) for key in keys])


def key(**axes: object) -> RowKey:
    return RowKey(**{name: values[0] for name, values in AXES.items()} | axes)


@given(drawn=st.lists(keys, min_size=1, max_size=12, unique=True))
def test_no_two_rows_have_one_name(drawn) -> None:
    section = section_of(*drawn)
    for naming in (formatting.name, _name):
        names = [naming(section, row) for row in section.rows]
        assert len(set(names)) == len(names)


@given(drawn=st.lists(keys, min_size=1, max_size=12, unique=True))
def test_a_name_says_no_more_than_it_takes(drawn) -> None:
    section = section_of(*drawn)
    for row in section.rows:
        told = formatting.apart(section, row)
        twins = [one for one in section.rows if formatting.label(one.key) == formatting.label(row.key)]
        assert bool(told) == (len(twins) > 1)
        assert len(told) < max(2, len(twins)), "each axis named leaves fewer rows"


def test_axes_are_named_in_their_order() -> None:
    section = section_of(key(), key(precision="bf16"), key(precision="bf16", frontend="mfcc"), key(model="tree"))
    assert [formatting.name(section, row) for row in section.rows] == [
        "net (fp32)", "net (bf16; nnaudio)", "net (bf16; mfcc)", "tree",
    ]  # fmt: skip
    tuned = section_of(key(mode="finetune", weights="masked"), key(mode="finetune", weights="masked", inputs="image"))
    assert _name(tuned, tuned.rows[1]) == "net (finetune from masked; image)"
