"""Splits, leak checks and hashes, on arrays and on the real folds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bench.builtin
from bench.clips import Clips
from bench.data.locate import open_clips
from bench.errors import DataError, LeakError
from bench.plugins.discovery import discover, load_modules
from bench.plugins.registry import Entry
from bench.plugins.specs import ProtocolSpec
from bench.protocols.split import available_folds, describe_split, make_split, protocol_hash

HOST = load_modules(bench.builtin).registry.protocols
FOUR_ONE, THREE_ONE, PAPER, RANDOM, OFFICIAL, OFFICIAL_VAL, RANDOM_SPLIT, GROUPED, LEAVE_ONE, GROUPED_FOLDS = (
    HOST[name]
    for name in (
        "4+1", "3+1+1", "paper-style", "random-5fold", "official", "official-val", "random-80-20", "grouped-5",
        "leave-one-group-out", "grouped-folds",
    )
)  # fmt: skip


def varied(protocol: Entry[ProtocolSpec], **changes) -> Entry[ProtocolSpec]:
    return replace(protocol, spec=replace(protocol.spec, **changes))


def clips(folds, groups=None, splits=None) -> Clips:
    n = len(groups if folds is None else folds)
    return Clips(
        title="Made up", ids=tuple(map(str, range(n))), targets=np.zeros(n, dtype=np.int64), label_names=("a", "b"),
        audio=lambda _: (np.zeros(4, dtype=np.float32), 8), sample_rate=8, clip_samples=4, manifest_sha256="m",
        folds=None if folds is None else np.asarray(folds), groups=groups, splits=splits,
    )  # fmt: skip


@given(
    st.lists(st.integers(1, 5), min_size=12, max_size=60).filter(lambda f: set(f) == {1, 2, 3, 4, 5}), st.integers(1, 5)
)
def test_parts_are_disjoint_and_complete(folds: list[int], fold: int) -> None:
    for spec in (FOUR_ONE, THREE_ONE):
        split = make_split(spec, clips(folds), fold)
        parts = np.concatenate([split.train, split.validation, split.test])
        assert sorted(parts.tolist()) == list(range(len(folds)))
        assert {folds[i] for i in split.test} == {fold}
    following = fold % 5 + 1
    assert {folds[i] for i in make_split(THREE_ONE, clips(folds), fold).validation} == {following}


def test_paper_style_selects_on_the_test_fold() -> None:
    split = make_split(PAPER, clips([1, 2, 1, 2], groups=("a", "b", "a", "b")), 1)
    assert split.validation.tolist() == split.test.tolist() == [0, 2]
    assert split.leak.rate == 0


def test_shared_group_is_refused_unless_documented() -> None:
    leaking = clips([1, 1, 2, 2], groups=("a", "b", "b", "c"))
    with pytest.raises(LeakError, match=r"50\.0%.*'b'") as caught:
        make_split(FOUR_ONE, leaking, 1)
    assert caught.value.rate == 0.5
    split = make_split(FOUR_ONE, leaking, 1, known_leaks=("b",))
    assert split.leak.groups == ("b",)
    assert split.leak.clips == 1


def test_validation_must_not_share_with_train() -> None:
    with pytest.raises(LeakError):
        make_split(THREE_ONE, clips([1, 2, 3], groups=("x", "y", "y")), 1)


def test_published_split() -> None:
    data = clips([0, 0, 0], splits=("train", "val", "test"))
    split = make_split(OFFICIAL, data, 0)
    assert (split.train.tolist(), split.validation.tolist(), split.test.tolist()) == ([0, 1], [], [2])
    assert make_split(OFFICIAL_VAL, data, 0).validation.tolist() == [1]
    assert available_folds(OFFICIAL, data) == (0,)


def test_what_is_missing_is_named() -> None:
    with pytest.raises(DataError, match="no published train/test split, which protocol 'official' needs"):
        make_split(OFFICIAL, clips([1, 2]), 0)
    with pytest.raises(DataError, match="no fold 9; it has 1, 2"):
        make_split(FOUR_ONE, clips([1, 2]), 9)
    with pytest.raises(DataError, match="one fold only"):
        available_folds(FOUR_ONE, clips([1, 1]))


def test_leave_one_group_out() -> None:
    data = clips([1, 1, 1], groups=("b", "a", "b"))
    assert available_folds(LEAVE_ONE, data) == (1, 2)
    assert make_split(LEAVE_ONE, data, 1).test.tolist() == [1]


@pytest.mark.parametrize(
    "spec", [FOUR_ONE, THREE_ONE, RANDOM, OFFICIAL, RANDOM_SPLIT, GROUPED, LEAVE_ONE], ids=lambda p: p.spec.name
)
def test_clips_to_predict_are_in_no_part(spec: Entry[ProtocolSpec]) -> None:
    count = 60
    kinds = ("train", "test", "predict")
    data = clips(
        [i % 5 + 1 for i in range(count)],
        groups=tuple(f"g{i}" for i in range(count)),
        splits=tuple(kinds[i % 3] for i in range(count)),
    )
    known = {i for i in range(count) if i % 3 != 2}
    folds = available_folds(spec, data)
    tested = []
    for fold in folds:
        split = make_split(spec, data, fold)
        parts = [*split.train.tolist(), *split.validation.tolist(), *split.test.tolist()]
        assert sorted(parts) == sorted(known)
        tested += split.test.tolist()
    if spec not in (OFFICIAL, RANDOM_SPLIT):
        assert sorted(tested) == sorted(known)


def test_a_fold_of_nothing_but_clips_to_predict_is_no_fold() -> None:
    data = clips([1, 2, 3], splits=("train", "train", "predict"))
    assert available_folds(FOUR_ONE, data) == (1, 2)


def test_random_split_reports_its_leak_and_is_not_refused() -> None:
    groups = tuple(f"g{i // 10}" for i in range(100))
    data = clips([0] * 100, groups=groups)
    assert available_folds(RANDOM_SPLIT, data) == (0,)
    split = make_split(RANDOM_SPLIT, data, 0)
    assert (len(split.train), len(split.validation), len(split.test)) == (80, 0, 20)
    expected = sum(groups[i] in {groups[j] for j in split.train} for i in split.test) / 20
    assert split.leak.rate == expected > 0.9
    again = make_split(RANDOM_SPLIT, clips([1] * 100, groups=groups), 0)
    assert again.test.tolist() == split.test.tolist()
    assert split.test.tolist() != list(range(80, 100))
    with pytest.raises(LeakError):
        make_split(RANDOM, data, 1)


@pytest.mark.parametrize("count", [3, 5, 10])
def test_grouped_folds_hold_whole_groups_and_spread_classes(count: int) -> None:
    groups = tuple(f"speaker {i % 40}" for i in range(200))
    data = replace(clips(None, groups=groups), targets=np.arange(200) // 100)
    grouped = HOST[f"grouped-{count}"]
    assert available_folds(grouped, data) == tuple(range(1, count + 1))
    fold_of = {}
    for fold in range(1, count + 1):
        split = make_split(grouped, data, fold)
        assert split.leak.clips == 0
        assert abs(int(data.targets[split.test].sum()) - len(split.test) / 2) <= 5
        fold_of |= {groups[i]: fold for i in split.test}
    assert len(fold_of) == 40
    few = clips(None, groups=tuple(f"g{i % 2}" for i in range(8)))
    assert available_folds(grouped, few) == (1, 2)
    with pytest.raises(DataError, match=f"has no groups, which protocol 'grouped-{count}' needs"):
        available_folds(grouped, clips([1, 2]))


def test_grouped_folds_are_the_authors_and_need_groups() -> None:
    data = clips([3, 3, 7, 7], groups=("a", "b", "c", "d"))
    assert available_folds(GROUPED_FOLDS, data) == (3, 7)
    assert make_split(GROUPED_FOLDS, data, 7).test.tolist() == [2, 3]
    with pytest.raises(LeakError, match=r"'2' \(test\) and '1' \(train\) are of group 'b'"):
        make_split(GROUPED_FOLDS, replace(data, groups=("a", "b", "b", "d")), 7)
    with pytest.raises(DataError, match="has no groups"):
        make_split(GROUPED_FOLDS, clips([1, 2]), 1)


def test_hash_follows_every_part_of_the_rule() -> None:
    base = protocol_hash(FOUR_ONE, "esc50", "m")
    others = {
        protocol_hash(THREE_ONE, "esc50", "m"),
        protocol_hash(varied(FOUR_ONE, version=2), "esc50", "m"),
        protocol_hash(FOUR_ONE, "esc10", "m"),
        protocol_hash(FOUR_ONE, "esc50", "n"),
        protocol_hash(FOUR_ONE, "esc50", "m", ("131943",)),
    }
    assert len(others | {base}) == 6
    assert base == protocol_hash(varied(FOUR_ONE, description="other words"), "esc50", "m")


def test_hashes_of_published_records_stay() -> None:
    hashes = {name: protocol_hash(HOST[name], "esc50", "m", ("a",)) for name in HOST}
    later = ("few-shot", "grouped-", "inner")
    assert {name: value for name, value in hashes.items() if not name.startswith(later)} == {
        "3+1+1": "b60874e3a1dbfb82",
        "4+1": "7f63ae8c16cd6f0e",
        "leave-one-group-out": "0a31fda7e510a899",
        "official": "32a223b101baa1af",
        "official-val": "7e149a1ff8422ebb",
        "paper-style": "a1e7b2a778bed890",
        "random-5fold": "c5c2e77a29192c24",
        "random-80-20": "e57915724fa60c42",
        "speaker": "c8da469451e6d285",
    }
    assert len(set(hashes.values())) == len(hashes)


@pytest.fixture(scope="module")
def esc50(data_root):
    """The real ESC-50: its declaration, its clips, and the registry."""
    registry = discover()
    entry = registry.datasets["esc50"]
    return entry.spec, open_clips(entry.spec, data_root, load=entry.factory), registry


@pytest.mark.data
class TestRealFolds:
    def test_official_folds_pass_with_their_four_exceptions(self, esc50) -> None:
        spec, data, _ = esc50
        shared: set[str] = set()
        leaking = 0
        for fold in range(1, 6):
            split = make_split(FOUR_ONE, data, fold, known_leaks=spec.known_leaks)
            assert (len(split.train), len(split.test)) == (1600, 400)
            shared |= set(split.leak.groups)
            leaking += split.leak.clips
        assert shared == {"131943", "134049", "209698", "234879"}
        assert leaking == 9

    def test_without_the_exceptions_they_are_refused(self, esc50) -> None:
        spec, data, _ = esc50
        splits = {fold: make_split(FOUR_ONE, data, fold, known_leaks=spec.known_leaks) for fold in range(1, 6)}
        leaking = [fold for fold, split in splits.items() if split.leak.clips]
        assert len(leaking) >= 3
        for fold in leaking:
            with pytest.raises(LeakError) as caught:
                make_split(FOUR_ONE, data, fold)
            assert caught.value.rate == splits[fold].leak.rate

    def test_shuffled_folds_are_refused_with_their_rate(self, esc50) -> None:
        spec, data, registry = esc50
        with pytest.raises(LeakError, match="leaks") as caught:
            make_split(registry.protocols["random-5fold"], data, 1, known_leaks=spec.known_leaks)
        assert caught.value.rate == pytest.approx(0.348, abs=0.04)
        rates = []
        for shuffle in range(1, 11):
            rule = varied(RANDOM, version=shuffle)
            for fold in range(1, 6):
                with pytest.raises(LeakError) as caught:
                    make_split(rule, data, fold, known_leaks=spec.known_leaks)
                rates.append(caught.value.rate)
        assert np.mean(rates) == pytest.approx(0.348, abs=0.02)

    def test_three_one_one_leaks_less_against_train_alone(self, esc50) -> None:
        spec, data, _ = esc50
        splits = [make_split(THREE_ONE, data, fold, known_leaks=spec.known_leaks) for fold in range(1, 6)]
        assert sum(s.leak.train_clips for s in splits) == 5


def test_unknown_leakage_is_null_with_its_reason_and_never_zero() -> None:
    """It was recorded as 0.0."""
    split = make_split(FOUR_ONE, clips([1, 2, 1, 2]), 1)
    assert split.leak.rate is None
    told = describe_split(split, ())
    assert (told["rate"], told["clips"], told["train_clips"], told["at_random"]) == (None, None, None, False)
    assert "name no groups" in told["unknown"]
    known = describe_split(make_split(FOUR_ONE, clips([1, 2], groups=("a", "b")), 1), ())
    assert (known["rate"], known["clips"], known["unknown"]) == (0.0, 0, "")


def test_a_division_that_asks_nothing_of_the_authors_is_at_random() -> None:
    data = clips(None, groups=tuple("abcdefghij"))
    assert make_split(RANDOM, data, 1).leak.at_random
    assert make_split(RANDOM_SPLIT, replace(data, groups=None), 0).leak.at_random
    assert make_split(FOUR_ONE, replace(clips([1, 2, 1, 2]), folds_to_draw=2), 1).leak.at_random
    assert not make_split(FOUR_ONE, clips([1, 2, 1, 2]), 1).leak.at_random


@pytest.mark.parametrize("name", ["digits", "fsdd"])
def test_speakers_of_official_digits_are_counted_and_not_refused(name: str) -> None:
    """The official split has every speaker in training; the rate was 0.0."""
    entry = discover().datasets[name]
    speakers = entry.spec.known_leaks
    data = clips(None, groups=(*speakers, *speakers), splits=("train", "test") * len(speakers))
    data = replace(data, splits=("train",) * len(speakers) + ("test",) * len(speakers))
    split = make_split(OFFICIAL, data, 0, known_leaks=speakers)
    assert (entry.spec.groups, split.leak.rate) == ("speaker", 1.0)
    assert describe_split(split, speakers)["documented"]
