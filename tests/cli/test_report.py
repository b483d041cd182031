"""``bench report`` and ``bench compare`` from the command line, on synthetic records."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from pathlib import Path

import pytest

import bench.builtin
from bench.__main__ import main
from bench.cli import forks
from bench.errors import NoCellError
from bench.plugins.discovery import load_modules


@pytest.fixture(scope="module")
def samples():
    path = Path(__file__).resolve().parents[1] / "golden" / "samples.py"
    spec = importlib.util.spec_from_file_location("bench_test_samples_cli", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def golden(samples, tmp_path_factory):
    return samples.golden_run(tmp_path_factory.mktemp("golden")).root


@pytest.fixture
def run(golden, tmp_path):
    return Path(shutil.copytree(golden, tmp_path / "run"))


@pytest.fixture(autouse=True)
def _only_builtin(monkeypatch):
    """The host's own plugin only: nothing needs to be installed, nothing heavy is imported."""
    host = load_modules(bench.builtin)
    monkeypatch.setattr("bench.cli.report.open_host", lambda files, without: host)


def test_files_are_written_and_the_same_again(run, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["report", str(run), "--to", str(out), "--format", "md,csv,json,latex"]) == 0
    names = {"leaderboard.md", "leaderboard.csv", "leaderboard.json", "leaderboard.tex"}
    assert {path.name for path in out.iterdir()} == names
    first = {path.name: path.read_bytes() for path in out.iterdir()}
    shown = capsys.readouterr().out
    assert "alpha.tiny" in shown
    assert "3400 s" in shown
    assert main(["report", str(run), "--to", str(out)]) == 0
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.name in names} == first


@pytest.mark.skipif(sys.platform != "linux", reason="forks are shared only there")
def test_many_records_are_read_on_several_cores_into_the_same_files(run, tmp_path, monkeypatch, capsys):
    told = []
    loads = forks.pickle.loads
    monkeypatch.setattr(forks.pickle, "loads", lambda answers: told.append(answers) or loads(answers))
    monkeypatch.setattr(forks.os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(forks.threading, "active_count", lambda: 1)
    made = []
    for name, many in (("one", 10**9), ("several", 0)):
        for module in ("report", "formats"):
            monkeypatch.setattr(f"bench.cli.{module}.MANY", many)
        assert main(["report", str(run), "--to", str(tmp_path / name), "--format", "md,csv,json,latex,html"]) == 0
        files = {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        made.append((files, capsys.readouterr().out.replace(str(tmp_path / name), "")))
    assert made[0] == made[1]
    assert len(told) == 2  # of sections and of files


def test_a_suite_is_named_and_shows_what_is_not_there(run, tmp_path, capsys):
    suite = tmp_path / "both.toml"
    suite.write_text("[datasets.toy]\nprotocol = '4+1'\n[datasets.elsewhere]\n", encoding="utf-8")
    assert main(["report", str(run), "--to", str(tmp_path / "o"), "--format", "csv", "--suite", str(suite)]) == 0
    shown = capsys.readouterr().out
    assert "toy (4+1@1, accuracy, weight 1), elsewhere (not run, weight 1)" in shown
    assert "no aggregate: elsewhere: not run" in shown
    assert "suite:both" in (tmp_path / "o" / "leaderboard.csv").read_text()
    assert main(["report", str(run), "--format", "csv", "--suite", "speech"]) == 2
    assert "no suite named 'speech'" in capsys.readouterr().err


def test_json_lists_the_files(run, tmp_path, capsys):
    assert main(["report", str(run), "--to", str(tmp_path / "o"), "--format", "csv", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["files"] == [str(tmp_path / "o" / "leaderboard.csv")]
    assert answer["problems"] == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{torn", "not a whole JSON file"),
        ('{"provenance": {"schema_version": 999}}', "schema version 999"),
        ('{"a": 1}', "no bench record"),
        ('{"provenance": {"schema_version": 1}, "cell": {"colour": 1}, "status": "ok"}', "edited or foreign"),
    ],
)
def test_bad_records_are_named_skipped_and_exit_1(run, tmp_path, capsys, content, words):
    (run / "records" / "bad.json").write_text(content)
    assert main(["report", str(run), "--to", str(tmp_path / "o"), "--format", "md"]) == 1
    assert words in capsys.readouterr().err
    page = (tmp_path / "o" / "leaderboard.md").read_text()
    assert words in page
    assert "alpha.tiny" in page


def test_no_records_is_exit_4(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert main(["report", str(tmp_path / "empty")]) == 4
    assert "no records" in capsys.readouterr().err


def test_no_folder_and_no_format_are_exit_2(run, tmp_path, capsys):
    assert main(["report", str(tmp_path / "nowhere")]) == 2
    assert "nowhere" in capsys.readouterr().err
    assert main(["report", str(run), "--format", "markdwn"]) == 2
    assert main(["report", str(run), "--format", ","]) == 2


def test_verify_recomputes_every_score(samples, tmp_path, capsys):
    from bench.metrics.scores import accuracy, macro_f1
    from bench.results.records import Score
    from bench.results.store import Store

    store = Store(tmp_path / "run")
    record = samples.evaluated(store, samples.cell("a"), 0.8)
    arrays = store.predictions(record)
    pair = arrays["logits"], arrays["targets"]
    good = (Score(name="accuracy", value=accuracy(*pair)), Score(name="macro_f1", value=macro_f1(*pair)))
    store.write(record.model_copy(update={"scores": good}), arrays)
    assert main(["report", str(tmp_path / "run"), "--format", "md", "--verify"]) == 0
    assert "2 scores recomputed from predictions, 0 differ" in capsys.readouterr().out
    edited = (good[0].of(0.999), good[1])
    store.write(record.model_copy(update={"scores": edited}), arrays)
    assert main(["report", str(tmp_path / "run"), "--format", "md", "--verify"]) == 1
    assert "accuracy is stored as 0.999" in capsys.readouterr().err


@pytest.fixture
def compare():
    """The verb itself: the program is tested in test_list.py."""
    from bench.cli.compare import main as verb

    def call(a, b, run, **options):
        return verb(a, b, run, **options)

    return call


def test_compare_says_who_is_better(run, tmp_path, capsys, compare):
    assert compare("kappa", "alpha.tiny", run, dataset="toy", out=tmp_path / "verdict.txt", clips=3) == 0
    shown = capsys.readouterr().out
    assert "alpha.tiny is better than kappa by " in shown
    assert "200 shared clips" in shown
    assert "the clearest 3:" in shown
    assert "alpha.tiny is better" in (tmp_path / "verdict.txt").read_text()


def test_compare_as_json(run, capsys, compare):
    assert compare("gamma", "alpha.tiny", run, as_json=True) == 0
    (verdict,) = json.loads(capsys.readouterr().out)
    assert verdict["paired"]["clips"] == 200
    assert verdict["folds"] == [1, 2, 3, 4, 5]


def test_compare_says_how_to_listen(run, capsys, compare):
    assert compare("gamma", "alpha.tiny", run, dataset="toy") == 0
    assert "to listen: the same command with --data DIR, the folder of toy" in capsys.readouterr().out
    assert compare("gamma", "alpha.tiny", run, as_json=True) == 0
    (verdict,) = json.loads(capsys.readouterr().out)
    assert {clip["path"] for clip in verdict["discordant"]} == {None}


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """The synthetic data set as a plugin's: a file per clip, in whatever copy the test chooses."""
    import dataclasses

    import numpy as np

    from bench import builtin
    from bench.clips import Clips
    from bench.plugins.discovery import load_modules
    from bench.plugins.registry import Entry, Provenance
    from bench.plugins.specs import DatasetSpec

    def offer(manifest="m" * 64, folds=(1, 2, 3, 4, 5), files=True):
        ids = tuple(f"{fold}-{index:03d}" for fold in folds for index in range(40))
        sounds = tuple(tmp_path / "toy" / f"{name}.wav" for name in ids) if files else (lambda index: (None, 16_000))
        clips = Clips(
            title="Toy", ids=ids, targets=np.zeros(len(ids), dtype=np.int64), label_names=("a", "b"), audio=sounds,
            sample_rate=16_000, clip_samples=80_000, manifest_sha256=manifest,
        )  # fmt: skip
        monkeypatch.setattr("bench.data.locate.open_clips", lambda spec, data, *, load, offline: clips)
        spec = DatasetSpec(name="toy", load="toys:load")
        entry = Entry(spec=spec, provenance=Provenance(plugin="toys", module="toys"), factory="toys:load")
        registry = dataclasses.replace(load_modules(builtin).registry, datasets={"toy": entry})
        host = type("Host", (), {"registry": registry})()
        monkeypatch.setattr("bench.cli.compare.open_host", lambda files, without: host)
        return tmp_path

    return offer


def test_compare_gives_the_files_to_listen_to(run, capsys, compare, toy):
    data = toy()
    assert compare("gamma", "alpha.tiny", run, data=data, clips=2) == 0
    shown = capsys.readouterr().out
    assert f"{data}/toy/" in shown
    assert "to listen" not in shown
    assert compare("gamma", "alpha.tiny", run, data=data, as_json=True) == 0
    (verdict,) = json.loads(capsys.readouterr().out)
    for clip in verdict["discordant"]:
        assert clip["path"] == f"{data}/toy/{clip['clip']}.wav"


@pytest.mark.parametrize(
    ("offered", "said"),
    [
        ({"manifest": "x"}, "another copy than the one measured"),
        ({"folds": (1,)}, "discordant clips are not in"),
        ({"files": False}, "no files of their own"),
    ],
)
def test_compare_says_what_cannot_be_listened_to(run, capsys, compare, toy, offered, said):
    assert compare("gamma", "alpha.tiny", run, data=toy(**offered)) == 1
    assert said in capsys.readouterr().err


def test_compare_without_a_shared_fold_is_exit_4(run, compare):
    with pytest.raises(NoCellError, match="share no finished fold"):
        compare("zeta.base", "alpha.tiny", run)


def test_compare_names_bad_files(run, capsys, compare):
    (run / "records" / "bad.json").write_text("{torn")
    assert compare("gamma", "alpha.tiny", run) == 1
    assert "not a whole JSON file" in capsys.readouterr().err


def test_another_metric_is_asked_for(run, tmp_path, capsys):
    assert main(["report", str(run), "--to", str(tmp_path), "--format", "csv", "--metric", "log_loss"]) in (0, 1)
    assert "log_loss nats [95 %]" in capsys.readouterr().out
    assert main(["compare", "alpha.tiny", "kappa", str(run), "--dataset", "toy", "--metric", "log_loss"]) in (0, 1)
    said = capsys.readouterr().out
    assert "alpha.tiny is better than kappa by" in said
    assert "nats of log_loss" in said
    assert main(["claim", "alpha.tiny > kappa", str(run), "--metric", "log_loss"]) in (0, 1)
    assert "The claimed order is confirmed" in capsys.readouterr().out
    assert main(["report", str(run), "--metric", "logloss"]) == 2
    assert "log_loss" in capsys.readouterr().err
