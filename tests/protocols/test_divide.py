"""Divisions are a seam: what the host hands a division, what it refuses, and few-shot as the first to come through."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bench.builtin
from bench import Clips, DataError, LeakError, PluginError, ProtocolSpec
from bench.plugins.discovery import discover, load_modules
from bench.plugins.registry import Entry
from bench.protocols.split import available_folds, make_split, offered, protocol_hash, takes_seed
from bench.testing.fakes import fake_plugin

HOST = load_modules(bench.builtin).registry.protocols
NAMES = ("ant", "bee", "cat")


def clips(count: int = 60, *, folds: int = 3, groups=None, splits=None, several: bool = False) -> Clips:
    classes = np.arange(count) % 3
    targets = np.eye(3, dtype=np.float32)[classes] if several else classes
    return Clips(
        title="Made up", ids=tuple(f"clip {i}" for i in range(count)), targets=targets, label_names=NAMES,
        audio=lambda _: (np.zeros(4, dtype=np.float32), 8), sample_rate=8, clip_samples=4, manifest_sha256="m",
        folds=np.arange(count) // 3 % folds + 1 if folds else None, groups=groups, splits=splits,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """The module of a made up plugin is importable during its test only."""
    monkeypatch.setitem(sys.modules, "stranger", None)


def protocol(divide=None, folds=None, **spec) -> Entry[ProtocolSpec]:
    """A stranger's protocol whose functions are these."""
    functions = {"divide": divide or (lambda clips, fold: ([0, 1], [], [2])), "folds": folds}
    named = {key: f":{key}" for key, function in functions.items() if function}
    module = fake_plugin("stranger", [ProtocolSpec(name="mine", **named, **({"needs": ()} | spec))], **functions)
    sys.modules["stranger"] = module
    return load_modules(module).registry.protocols["mine"]


def test_a_strangers_division_is_used_and_gets_what_it_names() -> None:
    seen = []

    def divide(clips, fold, *, seed, version, validation, share):
        seen.append((len(clips), fold, seed, version, validation, share))
        return range(10), [], [30, 20]

    mine = protocol(divide, lambda clips, *, share: np.arange(len(clips)) % share, options={"share": 4}, version=3)
    assert available_folds(mine, clips()) == (0, 1, 2, 3)
    assert takes_seed(mine)
    split = make_split(mine, clips(), 2, seed=7)
    assert seen == [(60, 2, 7, 3, "none", 4)]
    assert (split.train.tolist(), split.test.tolist()) == ([*range(10)], [20, 30])
    assert split.train.dtype == split.test.dtype == np.int64


@pytest.mark.parametrize(
    ("parts", "error", "words"),
    [
        (([0, 1], [], [1, 2]), PluginError, "1 clips stand in two parts, or twice in one, e.g. 'clip 1'"),
        (([0, 1, 1], [], [2]), PluginError, "1 clips stand in two parts, or twice in one, e.g. 'clip 1'"),
        (([0], [], [60]), PluginError, "the test part has clip 60 of 60"),
        (([-1], [], [2]), PluginError, "the train part has clip -1 of 60"),
        (([0], [], [59]), PluginError, "1 clips have no known target (split 'predict'), e.g. 'clip 59'"),
        (([0.5], [], [2]), PluginError, "the train part is float64 (1,); it must be indices of clips"),
        ((np.ones(60, dtype=bool), [], [2]), PluginError, "the train part is bool (60,); it must be indices of clips"),
        (([[0]], [], [2]), PluginError, "the train part is int64 (1, 1)"),
        (([0], [1], [2]), PluginError, "divide gave validation clips, but validation is 'none'"),
        (([0], [1, [2]], [3]), PluginError, "divide must return train, validation and test, not ([0], [1, [2]], [3])"),
        (([0], [2]), PluginError, "divide must return train, validation and test, not ([0], [2])"),
        (None, PluginError, "divide must return train, validation and test, not None"),
        (([], [], [2]), DataError, "the train part is empty"),
        (([0], [], []), DataError, "the test part is empty"),
    ],
)
def test_parts_that_are_no_division_are_refused_by_plugin_and_protocol(parts, error, words) -> None:
    mine = protocol(lambda _clips, _fold: parts)
    with pytest.raises(error) as caught:
        make_split(mine, clips(splits=("train",) * 59 + ("predict",)), 0)
    assert words in str(caught.value)
    assert "protocol 'mine' of plugin 'stranger'" in str(caught.value)


def test_selection_needs_validation_clips() -> None:
    mine = protocol(validation="split", select_on="validation")
    with pytest.raises(DataError, match="the validation part is empty"):
        make_split(mine, clips(), 0)


def test_a_division_that_raises_is_named() -> None:
    def broken(clips, fold):
        raise ZeroDivisionError("no fold by zero")

    with pytest.raises(PluginError, match=r"protocol 'mine' of plugin 'stranger'.*ZeroDivisionError: no fold by zero"):
        make_split(protocol(broken), clips(), 0)
    with pytest.raises(PluginError, match=r"folds ':folds' gave float64 \(60,\); it must give a whole number for each"):
        available_folds(protocol(folds=lambda clips: np.zeros(len(clips))), clips())


def test_leaks_are_the_hosts_to_find() -> None:
    data = clips(groups=tuple(f"g{i // 2}" for i in range(60)))
    with pytest.raises(LeakError, match="protocol 'mine' leaks"):
        make_split(protocol(lambda *_: ([0], [], [1, 2])), data, 0)
    told = protocol(lambda *_: ([0], [], [1, 2]), leaks="reported", ranked=False)
    assert make_split(told, data, 0).leak.groups == ("g0",)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"leaks": "reported"}, "leaks 'reported' is never ranked; set ranked=False"),
        ({"select_on": "test"}, "select_on 'test' is never ranked; set ranked=False"),
        ({"select_on": "validation"}, "select_on 'validation' with validation 'none'"),
        ({"validation": "next_fold"}, "select_on 'none' with validation 'next_fold'"),
        ({"needs": ("fold",)}, "needs 'fold'; did you mean 'folds'?"),
    ],
)
def test_a_protocol_that_contradicts_itself_is_refused_at_discovery(spec, words) -> None:
    with pytest.raises(PluginError) as caught:
        protocol(**spec)
    assert words in str(caught.value)


def test_a_scheme_that_does_not_exist_is_refused_at_discovery(tmp_path: Path) -> None:
    """It ran as ordinary folds, and was ranked."""
    source = (
        "from bench import ProtocolSpec, hookimpl\n@hookimpl\ndef bench_add_protocols():\n    return [{}]\n"
        "def few_shot(clips, fold):\n    return [0], [], [1]\n"
    )
    for spec, words in (
        ('ProtocolSpec(name="five", scheme="few_shot")', "unexpected keyword argument 'scheme'"),
        ('ProtocolSpec(name="five", divide=":few_shots")', "no function 'few_shots'; did you mean 'few_shot'?"),
    ):
        (tmp_path / "mine.py").write_text(source.format(spec))
        with pytest.raises(PluginError) as caught:
            discover([tmp_path / "mine.py"], entry_points=[])
        assert words in str(caught.value)


def test_needs_are_matched_with_what_the_clips_have() -> None:
    bare = clips(folds=0)
    whole = clips(groups=("g",) * 60, splits=("train", "val", "test") * 20)
    assert offered(bare) == frozenset()
    assert offered(whole) == {"folds", "groups", "splits", "validation"}
    assert offered(clips(splits=("train",) * 60)) == {"folds"}
    for need, words in {"folds": "folds", "groups": "groups", "validation": "validation clips"}.items():
        mine = protocol(needs=(need,))
        with pytest.raises(DataError, match=f"Made up has no {words}, which protocol 'mine' needs"):
            make_split(mine, bare, 1)
        make_split(mine, clips(groups=tuple(map(str, range(60))), splits=("train", "val", "test") * 20), 1)


def test_options_and_the_functions_text_are_part_of_the_hash() -> None:
    def first(clips, fold, *, share=0):
        return [0], [], [share + 1]

    def other(clips, fold, *, share=0):
        return [1], [], [share + 2]

    hashes = [
        protocol_hash(protocol(divide, folds, **spec), "set", "m")
        for divide, folds, spec in (
            (first, None, {}),
            (other, None, {}),
            (first, other, {}),
            (first, None, {"options": {"share": 1}}),
            (first, None, {"options": {"share": 2}}),
        )
    ]
    assert len(set(hashes)) == len(hashes)
    assert hashes[0] == protocol_hash(protocol(first, description="other words"), "set", "m")


@given(st.integers(0, 50), st.sampled_from([1, 2, 3]), st.sampled_from([1, 2, 5, 10]), st.booleans())
def test_few_shots_are_as_many_a_class_as_named(seed: int, fold: int, shots: int, several: bool) -> None:
    data = clips(folds=3, several=several)
    split = make_split(HOST[f"few-shot-{shots}"], data, fold, seed=seed)
    whole = make_split(HOST["4+1"], data, fold)
    assert split.test.tolist() == whole.test.tolist()
    assert set(split.train) <= set(whole.train)
    assert np.bincount(split.train % 3).tolist() == [shots] * 3
    again = make_split(HOST[f"few-shot-{shots}"], data, fold, seed=seed)
    assert split.train.tolist() == again.train.tolist()


def test_seeds_are_draws_and_fewer_shots_are_part_of_more() -> None:
    draws = {tuple(make_split(HOST["few-shot-5"], clips(), 1, seed=seed).train.tolist()) for seed in range(5)}
    assert len(draws) == 5
    one, five = (set(make_split(HOST[name], clips(), 1, seed=3).train) for name in ("few-shot-1", "few-shot-5"))
    assert one < five


def test_too_few_clips_of_a_class_are_named() -> None:
    with pytest.raises(
        DataError, match=r"Made up: outside fold 1 'ant' has 2, 'bee' has 2, 'cat' has 2 of 5 clips needed"
    ):
        make_split(HOST["few-shot-5"], clips(9), 1)


def test_a_few_shots_still_must_not_leak() -> None:
    data = clips(groups=("one recording",) * 60)
    with pytest.raises(LeakError):
        make_split(HOST["few-shot-1"], data, 1)


@pytest.mark.parametrize("name", [name for name in HOST if name != "leave-one-group-out"])
def test_every_protocol_of_the_host_divides_and_uses_no_clip_twice(name: str) -> None:
    data = clips(180, groups=tuple(map(str, range(180))), splits=("train", "val", "test") * 60)
    for fold in available_folds(HOST[name], data):
        split = make_split(HOST[name], data, fold)
        held = split.validation[:0] if HOST[name].spec.select_on == "test" else split.validation
        together = np.concatenate([split.train, held, split.test])
        assert len(np.unique(together)) == len(together)
        assert len(split.train)
        assert len(split.test)
