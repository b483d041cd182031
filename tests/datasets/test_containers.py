"""The same clips out of every container are the same data set; each trap of the containers is one error, or none."""

from __future__ import annotations

import importlib.metadata
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bench.data.check import check_clips
from bench.data.waveforms import open_waveforms
from bench.errors import DataError
from bench.protocols.groups import with_folds
from bench_datasets.manifest import load

RATE, CLIPS = 8_000, 12
LABELS = ("NA", "1e5", "dog")
"""Class names that a reader of tables likes to take for something else."""


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))


def sound(number: int) -> bytes:
    file = io.BytesIO()
    wave = np.random.default_rng(number).uniform(-0.5, 0.5, RATE // 10)
    soundfile.write(file, wave, RATE, format="WAV", subtype="PCM_16")
    return file.getvalue()


def rows() -> list[dict]:
    """``path``, ``label``, ``audio`` and ``group`` of each clip; the endings are in capitals."""
    return [
        {"path": f"{LABELS[i % 3]}/{i:03d}.WAV", "label": LABELS[i % 3], "audio": sound(i), "group": f"{i // 2:03d}"}
        for i in range(CLIPS)
    ]


def as_folder(root: Path) -> Path:
    for row in rows():
        (root / row["path"]).parent.mkdir(parents=True, exist_ok=True)
        (root / row["path"]).write_bytes(row["audio"])
    return root


def as_table(root: Path) -> Path:
    lines = ["path,label,group", *(f"{row['path']},{row['label']},{row['group']}" for row in rows())]
    (as_folder(root) / "manifest.csv").write_text("\n".join(lines))
    return root


def features(**more) -> dict[bytes, bytes]:
    told = {"audio": {"_type": "Audio"}, "label": {"_type": "ClassLabel", "names": list(LABELS)}, **more}
    return {b"huggingface": json.dumps({"info": {"features": told}}).encode()}


def arrow_table(listed):
    pa = pytest.importorskip("pyarrow", reason="needs the extra parquet")
    audio = pa.array([{"bytes": row["audio"], "path": row["path"]} for row in listed],
                     pa.struct([("bytes", pa.binary()), ("path", pa.string())]))  # fmt: skip
    labels = pa.array([LABELS.index(row["label"]) for row in listed], pa.int64())
    table = pa.table({"audio": audio, "label": labels, "group": [row["group"] for row in listed]})
    return table.replace_schema_metadata(features())


def as_parquet(root: Path) -> Path:
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra parquet")
    (root / "data").mkdir(parents=True)
    for number, part in enumerate((rows()[:7], rows()[7:])):
        parquet.write_table(arrow_table(part), root / "data" / f"train-0000{number}-of-00002.parquet")
    return root


def as_saved(root: Path) -> Path:
    """What ``datasets.Dataset.save_to_disk`` leaves, an unrelated cache file among it."""
    pa = pytest.importorskip("pyarrow", reason="needs the extra parquet")
    root.mkdir()
    table = arrow_table(rows())
    for name in ("data-00000-of-00001.arrow", "cache-1.arrow"):
        with pa.ipc.new_stream(root / name, table.schema) as stream:
            stream.write_table(table)
    (root / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}))
    return root


def members(*, apart: bool = True) -> list[tuple[str, bytes]]:
    """Of a shard; ``apart``: all sounds first, then what belongs to them."""
    found = [(row["path"], row["audio"]) for row in rows()]
    beside = [(row["path"].replace(".WAV", ".json"), {"label": row["label"], "group": row["group"]}) for row in rows()]
    told = [(name, json.dumps(value).encode()) for name, value in beside]
    return found + told if apart else [one for pair in zip(found, told, strict=True) for one in pair]


def tar(path: Path, listed: list[tuple[str, bytes]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as file:
        for name, content in listed:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return path


def as_shards(root: Path) -> Path:
    first = [one for one in members() if int(one[0][-8:].strip("/.WAVjson")[:3]) < 5]
    tar(root / "clips-000.tar", first)
    tar(root / "clips-001.tar", [one for one in members() if one not in first])
    return root


def croissant(root: Path, source: dict, files: dict, **more) -> Path:
    fields = [{"@id": f"clips/{name}", "dataType": kind, "source": {**source, "extract": {"column": column}}}
              for name, kind, column in (("audio", "sc:AudioObject", "audio"), ("label", "sc:Text", "label"),
                                         ("group", "sc:Text", "group"))]  # fmt: skip
    told = {"@type": "sc:Dataset", "distribution": [files], "recordSet": [{"@id": "clips", "field": fields}], **more}
    (root / "croissant.json").write_text(json.dumps(told))
    return root


def as_croissant(root: Path) -> Path:
    """With a table of ids and names that look like numbers and missing values."""
    as_folder(root)
    lines = ["audio,label,group", *sorted(f"{row['path']},{row['label']},{row['group']}" for row in rows())]
    (root / "clips.csv").write_text("\n".join(lines))
    return croissant(root, {"fileObject": {"@id": "t"}}, {"@id": "t", "contentUrl": "clips.csv"})


def as_croissant_of_parquet(root: Path) -> Path:
    return croissant(as_parquet(root), {"fileSet": {"@id": "p"}}, {"@id": "p", "includes": "data/*.parquet"})


GROUPED = [as_parquet, as_saved, as_shards, as_croissant, as_croissant_of_parquet]


@pytest.mark.parametrize("make", [as_folder, *GROUPED])
def test_a_container_gives_what_the_plain_table_gives(tmp_path, make: Callable[[Path], Path]) -> None:
    plain = with_folds(check_clips(load(as_table(tmp_path / "plain")), "manifest"))
    assert plain.label_names == tuple(sorted(LABELS))
    clips = with_folds(check_clips(load(make(tmp_path / "held")), "manifest"))
    order = [clips.ids.index(name) for name in plain.ids]
    assert [clips.label_names[clips.targets[i]] for i in order] == [plain.label_names[i] for i in plain.targets]
    if make is not as_folder:
        assert clips.groups == tuple(plain.groups[plain.ids.index(name)] for name in clips.ids)
        assert clips.groups[clips.ids.index("NA/000.WAV")] == "000"
        assert clips.folds[order].tolist() == plain.folds.tolist()
    ours, theirs = (open_waveforms(one, trim_db=None, fill="zeros") for one in (clips, plain))
    np.testing.assert_array_equal(ours.samples[order], theirs.samples)
    (tmp_path / "sorted").mkdir()
    lines = (tmp_path / "plain" / "manifest.csv").read_text().splitlines()
    (tmp_path / "plain" / "manifest.csv").write_text("\n".join([lines[0], *sorted(lines[1:])]))
    same = load(tmp_path / "plain")
    assert open_waveforms(same, trim_db=None, fill="zeros").fingerprint == ours.fingerprint
    again = load(tmp_path / "held")
    assert (again.ids, again.manifest_sha256) == (clips.ids, clips.manifest_sha256)


def test_members_of_a_sample_that_are_not_adjacent_are_one_sample(tmp_path) -> None:
    apart, beside = (load(tar(tmp_path / f"{apart}.tar", members(apart=apart))) for apart in (True, False))
    assert apart.ids == beside.ids
    assert apart.groups == beside.groups
    assert len(apart) == CLIPS


def test_names_that_come_twice_are_two_clips(tmp_path) -> None:
    pytest.importorskip("pyarrow", reason="needs the extra parquet")
    from pyarrow import parquet

    listed = [{**row, "path": "same.wav"} for row in rows()]
    parquet.write_table(arrow_table([*listed, {**listed[0], "path": "../../outside.wav"}]), tmp_path / "a.parquet")
    clips = load(tmp_path / "a.parquet")
    assert len({path.read_bytes() for path in clips.audio}) == CLIPS
    assert "000012/outside.wav" in clips.ids
    assert all(path.is_relative_to(tmp_path / "cache") for path in clips.audio)


def test_folders_of_parts_are_a_split(tmp_path) -> None:
    as_folder(tmp_path / "all" / "train")
    as_folder(tmp_path / "all" / "validation")
    clips = load(tmp_path / "all")
    assert sorted(set(clips.splits)) == ["train", "val"]
    assert clips.label_names == tuple(sorted(LABELS))
    (tmp_path / "all" / "cat").mkdir()
    (tmp_path / "all" / "cat" / "1.wav").write_bytes(sound(1))
    with pytest.raises(DataError, match=r"folders of parts .* beside others"):
        load(tmp_path / "all")
    (tmp_path / "all" / "1.wav").write_bytes(sound(1))
    with pytest.raises(DataError, match="stands in no folder"):
        load(tmp_path / "all")


def faulty(name: str, tmp_path: Path) -> Path:
    path = tmp_path / "a.tar"
    if name.startswith("cut"):
        whole = tar(path, members()).read_bytes()
        ends = {"cut at a member": 2560 * 3, "cut in a header": 2560 * 3 + 100, "cut in a sound": 700}
        path.write_bytes(whole[: ends[name]])
        return path
    listed = {"outside": [("../1.wav", sound(1))], "two": [("1.wav", sound(1)), ("1.flac", sound(2))],
              "silent": [("1.json", b"{}")], "absolute": [("/1.wav", sound(1))]}  # fmt: skip
    if name in listed:
        return tar(path, listed[name])
    pa = pytest.importorskip("pyarrow", reason="needs the extra parquet")
    from pyarrow import parquet

    path = tmp_path / "a.parquet"
    if name == "no parquet":
        path.write_bytes(b"PAR1")
    elif name == "no audio":
        parquet.write_table(pa.table({"label": ["a"], "file": ["1.wav"]}), path)
    else:
        table = arrow_table([{**row, "audio": None} for row in rows()])
        parquet.write_table(table, path)
    return path


FAULTS = {
    "cut at a member": "cut short", "cut in a header": "cut short", "cut in a sound": "damaged|cut short",
    "outside": "a.tar.*outside", "absolute": "outside", "two": "'1' holds 2 audio members", "silent": "holds 0 audio",
    "no parquet": "cannot read .*fetch it again", "no audio": "no column of audio.*columns are label, file",
    "no bytes": "row 0: no audio bytes in the cell.*embedded audio",
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_wrong_with_a_container_is_one_error(tmp_path, name) -> None:
    with pytest.raises(DataError, match=FAULTS[name]):
        load(faulty(name, tmp_path))
    assert not [*(tmp_path / "cache" / "unpacked").glob("[!.]*")]
    assert not (tmp_path.parent / "1.wav").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"recordSet": []}, "no recordSet"),
        ({"distribution": [{"@id": "t", "contentUrl": "https://a.org/clips.csv"}]}, "put its files beside"),
        ({"distribution": [{"@id": "t", "contentUrl": "../clips.csv"}]}, "put its files beside"),
        ({"distribution": [{"@id": "t", "contentUrl": "none.csv"}]}, "matches no file"),
        (
            {"recordSet": [{"field": [{"name": "audio", "dataType": "sc:Text"}]}]},
            "0 fields of sc:AudioObject",
        ),
    ],
)
def test_metadata_that_lead_nowhere_are_one_error(tmp_path, change, said) -> None:
    root = as_croissant(tmp_path / "held")
    told = json.loads((root / "croissant.json").read_text())
    (root / "croissant.json").write_text(json.dumps(told | change))
    with pytest.raises(DataError, match=said):
        load(root)


@pytest.mark.parametrize(
    "told", ["[]", "{", '{"_data_files": 1}', '{"_data_files": [{"filename": 3}]}', '{"_data_files": [{}]}', "{}"]
)
@pytest.mark.parametrize("name", ["croissant.json", "state.json"])
def test_damaged_metadata_are_one_error(tmp_path, told, name) -> None:
    (tmp_path / name).write_text(told)
    with pytest.raises(DataError):
        load(tmp_path)


@pytest.mark.parametrize("told", [b"[]", b"{", b"1", b"\xff", b'{"label": {"a": [1]}}'])
def test_a_sample_with_damaged_metadata_is_one_error_or_none(tmp_path, told) -> None:
    shard = tar(tmp_path / "a.tar", [(f"{i}.{kind}", told if kind == "json" else sound(i)) for i in range(2)
                                     for kind in ("wav", "json")])  # fmt: skip
    with pytest.raises(DataError):
        load(shard)


@pytest.mark.parametrize("told", [{"recordSet": [1]}, {"recordSet": [{"field": [[]]}]}, {"recordSet": "a"},
                                  {"recordSet": [{"field": [{"dataType": "sc:AudioObject", "source": []}]}]},
                                  {"distribution": [1]}])  # fmt: skip
def test_croissant_of_another_shape_is_one_error(tmp_path, told) -> None:
    path = as_croissant(tmp_path / "held") / "croissant.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | told))
    with pytest.raises(DataError):
        load(path.parent)


def test_a_column_called_path_beside_the_audio_stays_apart(tmp_path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra parquet")
    parquet.write_table(arrow_table(rows()).append_column("path", [["elsewhere"] * CLIPS]), tmp_path / "a.parquet")
    assert load(tmp_path / "a.parquet").ids == tuple(sorted(row["path"] for row in rows()))


SAVING = """
import sys
import datasets, pyarrow
told = {"audio": {"bytes": datasets.Value("binary"), "path": datasets.Value("string")},
        "label": datasets.ClassLabel(names=["NA", "1e5", "dog"]), "group": datasets.Value("string")}
table = pyarrow.parquet.read_table(sys.argv[1]).replace_schema_metadata(None)
info = datasets.DatasetInfo(features=datasets.Features(told))
held = datasets.Dataset(datasets.table.InMemoryTable(table), info=info, fingerprint="a" * 16)
held.cast_column("audio", datasets.Audio(decode=False)).save_to_disk(sys.argv[2])
held.to_parquet(sys.argv[3])
"""


def test_saved_by_the_library_itself(tmp_path) -> None:
    """In a process of its own: here the folder of these tests bears the library's name."""
    try:
        importlib.metadata.version("datasets")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("Hugging Face's datasets is not installed")
    made = [as_parquet(tmp_path / "given") / "data", tmp_path / "saved", tmp_path / "train.parquet"]
    command = [sys.executable, "-c", SAVING, *map(str, made)]
    home = {"HF_HOME": str(tmp_path / "home")}
    subprocess.run(command, check=True, timeout=300, cwd=tmp_path, env=os.environ | home, capture_output=True)
    names = sorted(Path(row["path"]).name for row in rows())  # the library cuts paths to their last part
    assert load(tmp_path / "saved").ids == tuple(names)
    assert load(tmp_path / "train.parquet").label_names == tuple(sorted(LABELS))
