"""Where data are looked for, in which order, and what is said when they are nowhere."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import numpy as np
import pytest

from bench.clips import Clips
from bench.data import locate as module
from bench.data.download import download_folder
from bench.data.locate import locate, open_clips
from bench.errors import DataError
from bench.plugins.specs import DatasetSpec


def load(root: Path | None, *, note: str = "note") -> Clips:
    if root is not None and root.is_dir() and not (root / "mark").exists():
        raise DataError(f"no mark in {root}")
    content = (root / "mark").read_text() if root is not None and root.is_dir() else "ok"
    if content == "broken":
        raise DataError("row 3 is broken")
    return Clips(
        title="T", ids=("a", "b"), targets=np.array([0, 1]), label_names=("x", "y"), audio=(Path("a"), Path("b")),
        sample_rate=8000, clip_samples=10, manifest_sha256="m", faithful=content != "altered", notes=(note,),
    )  # fmt: skip


@pytest.fixture(autouse=True)
def fake(monkeypatch, tmp_path):
    plugin = types.ModuleType("fake_locate_plugin")
    plugin.load = load
    monkeypatch.setitem(sys.modules, "fake_locate_plugin", plugin)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("BENCH_DATA", raising=False)


def spec(**options) -> DatasetSpec:
    values = {"url": "https://example.org/t.zip", "download_bytes": 600_000_000, **options}
    return DatasetSpec(name="thing", load="fake_locate_plugin:load", **values)


def put(folder: Path, content: str = "ok") -> Path:
    folder.mkdir(parents=True)
    (folder / "mark").write_text(content)
    return folder


def test_generated_data_need_no_place(tmp_path):
    assert locate(spec(needs_files=False), tmp_path / "nowhere") is None


def test_named_folder_before_the_folder_itself(tmp_path):
    put(tmp_path / "d")
    assert locate(spec(), tmp_path / "d") == tmp_path / "d"
    put(tmp_path / "d" / "thing")
    assert locate(spec(), tmp_path / "d") == tmp_path / "d" / "thing"
    assert locate(spec(), tmp_path / "d" / "thing") == tmp_path / "d" / "thing"


def test_a_file_is_passed_through(tmp_path):
    (tmp_path / "my.csv").write_text("")
    assert locate(spec(), tmp_path / "my.csv") == tmp_path / "my.csv"


def test_given_then_configured_then_cached(tmp_path, monkeypatch):
    put(download_folder(spec()))
    assert locate(spec()) == download_folder(spec())
    put(tmp_path / "env" / "thing")
    monkeypatch.setenv("BENCH_DATA", str(tmp_path / "env"))
    assert locate(spec()) == tmp_path / "env" / "thing"
    put(tmp_path / "given")
    assert locate(spec(), tmp_path / "given") == tmp_path / "given"


def test_a_broken_folder_of_that_name_is_not_passed_over(tmp_path, monkeypatch):
    put(tmp_path / "env" / "thing", "broken")
    put(download_folder(spec()))
    monkeypatch.setenv("BENCH_DATA", str(tmp_path / "env"))
    with pytest.raises(DataError, match=r"^row 3 is broken"):
        locate(spec())


def test_nowhere_says_everything(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_DATA", str(tmp_path / "env"))
    with pytest.raises(DataError) as caught:
        locate(spec(), offline=True)
    message = str(caught.value)
    for part in (
        str(tmp_path / "env"), str(download_folder(spec())), "https://example.org/t.zip", "600 MB",
        "--dataset demo", "--data DIR", "go online",
    ):  # fmt: skip
        assert part in message


def test_given_folder_is_never_left_for_a_download(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "download", lambda *_: pytest.fail("downloaded"))
    put(download_folder(spec()))
    with pytest.raises(DataError, match="no such folder"):
        locate(spec(), tmp_path / "typo")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no mark in .*empty"):
        locate(spec(), tmp_path / "empty")
    with pytest.raises(DataError, match="cannot be downloaded"):
        locate(spec(url=""))


def test_downloads_must_be_faithful(monkeypatch, tmp_path):
    def fetched(asked, check, progress):
        place = put(tmp_path / progress)
        (place / "mark").write_text(progress)
        check(place)
        return place

    monkeypatch.setattr(module, "download", fetched)
    assert open_clips(spec(), progress="ok").title == "T"
    with pytest.raises(DataError, match="does not hold the published data: note"):
        open_clips(spec(), progress="altered")


def test_the_factory_of_an_entry_wins(tmp_path):
    assert locate(spec(needs_files=False), load="fake_locate_plugin:load") is None
    plugin_file = DatasetSpec(name="thing", load=":load", needs_files=False)
    assert open_clips(plugin_file, load="fake_locate_plugin:load").ids == ("a", "b")


def test_options_of_the_loader_stand_behind_a_question_mark(tmp_path):
    put(tmp_path / "thing")
    assert open_clips(spec(), Path(f"{tmp_path}/thing?note=a=b,c=d")).notes == ("a=b,c=d",)
    with pytest.raises(DataError, match=r"no option 'colour' behind the \? of --data; it takes note"):
        open_clips(spec(), Path(f"{tmp_path}/thing?colour=red"))
    put(tmp_path / "odd?note=x" / "thing")
    assert open_clips(spec(), tmp_path / "odd?note=x").notes == ("note",)
