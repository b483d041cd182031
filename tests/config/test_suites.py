"""Suites as files: what they choose, and what is said about mistakes."""

from __future__ import annotations

import pytest

from bench import builtin
from bench.cli.options import gather
from bench.config.selection import Selection, check_names
from bench.config.suites import FOLDER, read_suite, stored_suite, suite_of
from bench.errors import SelectionError, UnknownNameError
from bench.plugins.discovery import load_modules
from bench.plugins.specs import DatasetSpec, ModelSpec
from bench.results.plans import StoredPlan
from bench.testing.fakes import fake_plugin

TWO = {"one": {}, "two": {"protocol": "official", "metric": "macro_f1", "weight": 2}}


@pytest.fixture
def registry():
    sets = [DatasetSpec(name=name, load="json:loads", protocols=("4+1", "official")) for name in ("one", "two")]
    part = DatasetSpec(name="part", load="json:loads", protocols=("4+1",), part_of="one")
    pairs = DatasetSpec(name="pairs", load="json:loads", protocols=("4+1",), recordings_of=("elsewhere", "two"))
    model = ModelSpec(name="net", factory="json:loads", sets=("default",))
    return load_modules(builtin, fake_plugin("suites_plugin", [model, *sets, part, pairs])).registry


def chosen(tables, **more):
    suite = suite_of({"name": "mine", "datasets": tables}, "suite mine")
    return Selection(suite=suite, datasets=tuple(suite.datasets), **more)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_suites_of_bench_name_what_is_installed(path):
    from bench.plugins.discovery import discover

    suite = read_suite(path.stem)
    assert suite.title
    check_names(Selection(suite=suite, datasets=tuple(suite.datasets)), discover())


def test_a_suite_gives_data_sets_and_the_protocol_of_each(registry):
    selection = chosen(TWO)
    check_names(selection, registry)
    assert [selection.protocol_of(name) for name in selection.datasets] == [None, "official"]


@pytest.mark.parametrize(
    ("tables", "error", "said"),
    [
        ({"one": {}, "tow": {}}, UnknownNameError, "'two'"),
        ({"one": {"protocol": "offical"}, "two": {}}, UnknownNameError, "'official'"),
        ({"one": {"metric": "macro-f1"}, "two": {}}, UnknownNameError, "'macro_f1'"),
        ({"one": {}, "part": {}}, SelectionError, "part and one share clips"),
        ({"pairs": {}, "two": {}}, SelectionError, "two and pairs share clips"),
    ],
)
def test_unknown_names_and_shared_clips_are_refused(registry, tables, error, said):
    with pytest.raises(error) as raised:
        check_names(chosen(tables), registry)
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "datasets is missing"),
        ("[datasets.one]", "at least two: [datasets.esc50]"),
        ("agregate = 'mean'\n[datasets.one]\n[datasets.two]", "agregate is no setting; did you mean 'aggregate'"),
        (
            "aggregate = 'median'\n[datasets.one]\n[datasets.two]",
            "aggregate = 'median': Input should be 'mean'",
        ),
        ("[datasets.one]\nwieght = 2\n[datasets.two]", "datasets.one.wieght is no setting; did you mean 'weight'"),
        ("[datasets.one]\nweight = 0\n[datasets.two]", "datasets.one.weight = 0: Input should be greater than 0"),
        ("[datasets.one]\nweight = nan\n[datasets.two]", "datasets.one.weight = nan"),
        ("datasets = ['one', 'two']", "datasets = ['one', 'two']: Input should be a valid dictionary"),
        ("datasets", "is not TOML"),
    ],
)
def test_a_file_with_a_mistake_is_one_error(tmp_path, text, said):
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SelectionError) as raised:
        read_suite(str(path))
    assert said in str(raised.value)


def test_a_suite_that_is_none_is_named_with_those_there_are():
    with pytest.raises(SelectionError, match="no suite named 'speech_and_sounds'; did you mean 'speech_and_sound'"):
        read_suite("speech_and_sounds")
    with pytest.raises(SelectionError, match="no such file"):
        read_suite("nowhere.toml")


@pytest.mark.parametrize("more", [{"dataset": "esc10"}, {"protocol": "4+1"}])
def test_options_that_a_suite_answers_are_refused_beside_it(more):
    with pytest.raises(SelectionError, match="leave out --dataset and --protocol"):
        gather({"suite": "speech_and_sound", "device": "cpu", **more})
    selection, _ = gather({"suite": "speech_and_sound", "device": "cpu"})
    assert selection.datasets == tuple(read_suite("speech_and_sound").datasets)


def test_a_run_folder_keeps_its_suite_and_a_damaged_one_is_told():
    suite = suite_of({"name": "mine", "datasets": TWO}, "suite mine")
    kept = StoredPlan(cells=[], decisions=[], suite=suite.model_dump())
    assert stored_suite(kept) == (suite, "")
    assert stored_suite(StoredPlan(cells=[], decisions=[])) == (None, "")
    for damaged in (7, {"name": "mine", "datasets": {}}):
        none, said = stored_suite(StoredPlan(cells=[], decisions=[], suite=damaged))
        assert none is None
        assert said.startswith("plan.json: suite: ")


def test_no_two_built_in_data_sets_load_one_collection_unsaid():
    """What the same package and download give shares clips: a suite of both would count them twice."""
    from bench.plugins.discovery import discover

    entries = {name: entry.spec for name, entry in discover().datasets.entries.items()}
    for one in entries.values():
        for other in entries.values():
            if one is not other and one.url and one.url == other.url:
                assert one.collections & other.collections, (one.name, other.name)
    assert entries["digits"].collections & entries["fsdd-speaker"].collections == {"fsdd"}
