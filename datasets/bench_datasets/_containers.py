"""Data sets in the containers that others use, as the table that a user's own CSV would be.

A folder per class; Parquet and Arrow files with sound in their cells, as Hugging Face's ``datasets`` writes them;
WebDataset tar shards; Croissant metadata. Bytes and names come from the container, decoding and types are the host's:
an id ``007`` or ``1e5`` and a class ``NA`` stay text.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from bench import SOUND_SUFFIXES, DataError, read_text, unpack, unpacked
from bench_datasets._table import OPTIONAL, Table, read_table, table_of

SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val", "test": "test"}
"""What others call a part of the data."""
_PACKED = 64
"""How many times its size a compressed shard may unpack to."""
_ROWS = 64


def open_container(root: Path, columns: str) -> tuple[Path, Table] | None:
    """The folder that the paths of its table are relative to, and the table; ``None`` where it is no container.

    Args:
        root: A folder, or a file of a container.
        columns: Which columns are meant; see :func:`bench_datasets._table.read_table`.

    Raises:
        DataError: It is damaged, or holds no audio.
    """
    try:
        return _opened(root, columns)
    except (AttributeError, KeyError, TypeError, ValueError, OSError, RecursionError) as error:
        said = f"{type(error).__name__}: {error}"[:200]
        raise DataError(f"{root}: its metadata are not of the form that they should have ({said})") from error


def _opened(root: Path, columns: str) -> tuple[Path, Table] | None:
    croissant = root / "croissant.json" if root.is_dir() else root
    if croissant.suffix == ".json" and croissant.is_file():
        return _croissant(croissant, columns)
    for suffixes, read in ((("parquet", "arrow"), _arrow), (("tar", "tar.gz", "tgz"), _shards)):
        if files := _files(root, suffixes):
            folder, rows = unpacked(files, read(files, root))
            rows = _one_part([{key: value for key, value in row.items() if value is not None} for row in rows])
            return folder, table_of(root, _header(rows), rows, columns)
    return (root, _classes(root, columns)) if root.is_dir() else None


def _files(root: Path, suffixes: Sequence[str]) -> list[Path]:
    """The files of a container: those that a saved data set names, or all with these endings; caches are left out."""
    if not root.is_dir():
        return [root] if root.name.endswith(tuple(f".{suffix}" for suffix in suffixes)) else []
    if states := sorted(root.rglob("state.json")) if "arrow" in suffixes else []:
        return [state.parent / one["filename"] for state in states for one in _json(state)["_data_files"]]
    return sorted(p for suffix in suffixes if suffix != "arrow" for p in root.rglob(f"*.{suffix}") if p.is_file())


def _json(path: Path) -> Any:
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is no JSON file: {error}") from error


def _header(rows: Iterable[Mapping[str, str]]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _one_part(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Rows in the order of their paths; where all are of one part, nothing was divided."""
    if len({row.get("split") for row in rows}) == 1:
        rows = [{key: value for key, value in row.items() if key != "split"} for row in rows]
    return sorted(rows, key=lambda row: row.get("path", ""))


def _classes(root: Path, columns: str) -> Table:
    """A folder per class, or one per part of the data with a folder per class each."""
    rows = []
    for path in sorted(p for p in root.rglob("*") if p.suffix.lower() in SOUND_SUFFIXES and p.is_file()):
        first, *rest = path.relative_to(root).parts
        part = {"split": SPLITS[first]} if first in SPLITS and len(rest) > 1 else {}
        if not rest:
            raise DataError(
                f"{path} stands in no folder; a folder per class holds its files in folders named as classes"
            )
        rows.append({"path": path.relative_to(root).as_posix(), "label": rest[0] if part else first, **part})
    if not rows:
        raise DataError(
            f"no manifest.csv, croissant.json, Parquet file, tar shard or folder of audio files in {root}; give "
            "a table with --data my.csv, or the folder that holds one of these"
        )
    if len({"split" in row for row in rows}) > 1:
        raise DataError(f"{root} holds folders of parts ({', '.join(SPLITS)}) beside others; give one kind")
    rows = _one_part(rows)
    return table_of(root, _header(rows), rows, columns)


def _arrow(files: Sequence[Path], root: Path) -> Callable[[Path], list[dict[str, str]]]:
    """Tables with sound in their cells: its bytes become files, whatever else stands there text."""
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise DataError(f"{files[0].name} needs pyarrow ({error}); pip install 'bench-audio[parquet]'") from error

    def batches(file: Path) -> Iterator[Any]:
        if file.suffix == ".parquet":
            yield from parquet.ParquetFile(file).iter_batches(_ROWS)
            return
        with pa.memory_map(str(file)) as held:
            yield from pa.ipc.open_stream(held)

    def write(folder: Path) -> list[dict[str, str]]:
        rows: list[dict[str, str]] = []
        for file in files:
            try:
                for batch in batches(file):
                    rows += _cells(batch, folder, file, len(rows), _part_of(file, root))
            except (pa.ArrowException, OSError) as error:
                raise DataError(f"cannot read {file}: {error}; fetch it again") from error
        return rows

    return write


def _part_of(file: Path, root: Path) -> dict[str, str]:
    """The part of the data that a file holds, as its name or folder says."""
    names = (re.split(r"[-._]", file.name)[0], *(folder.name for folder in file.parents if folder.is_relative_to(root)))
    return next(({"split": SPLITS[name]} for name in names if name in SPLITS), {})


def _cells(batch: Any, folder: Path, file: Path, start: int, part: dict[str, str]) -> Iterator[dict[str, str]]:
    names = batch.schema.names
    told = json.loads((batch.schema.metadata or {}).get(b"huggingface", b"{}")).get("info", {}).get("features", {})
    sounds = [name for name in names if {"bytes", "path"} <= _parts(batch.schema.field(name).type)]
    if not sounds:
        raise DataError(
            f"{file} has no column of audio (bytes and path in each cell); its columns are {', '.join(names) or 'none'}"
        )
    for number, row in enumerate(batch.to_pylist(), start):
        values = dict(part)
        for name, value in row.items():
            labels = (told.get(name) or {}).get("names") if isinstance(told.get(name), dict) else None
            key = "path" if [name] == sounds else f"{name}_" if name == "path" and name not in sounds else name
            values[key] = _sound(value, folder, file, number) if name in sounds else _text(value, labels)
        yield values


def _parts(kind: Any) -> set[str]:
    """The names of what a cell of this type holds."""
    return {kind.field(i).name for i in range(kind.num_fields)} if str(kind).startswith("struct") else set()


def _sound(value: Any, folder: Path, file: Path, number: int) -> str:
    """Where the sound of a cell stands now, relative to ``folder``: under its own name where that is free."""
    name = str((value or {}).get("path") or "")
    content = (value or {}).get("bytes")
    if content is None:
        raise DataError(
            f"{file}, row {number}: no audio bytes in the cell (path {name!r}); save it with embedded audio"
        )
    return _kept(content, folder, name or f"{number:06d}", f"{number:06d}")


def _kept(content: bytes, folder: Path, name: str, spare: str) -> str:
    """Write a sound below ``folder`` as ``name``, as ``spare/NAME`` where that is taken or leads outside."""
    parts = PurePosixPath(name).parts
    if not parts or parts[0] == "/" or ".." in parts or "\0" in name or (folder / name).exists():
        name = f"{spare}/{parts[-1] if parts else spare}"
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return name


def _text(value: Any, labels: Sequence[str] | None) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return "|".join(_text(item, labels) for item in value)
    return labels[value] if labels and isinstance(value, int) and 0 <= value < len(labels) else str(value)


def _shards(files: Sequence[Path], root: Path) -> Callable[[Path], list[dict[str, str]]]:
    """WebDataset shards: members with one name up to their first dot are one sample, wherever they stand."""

    def write(folder: Path) -> list[dict[str, str]]:
        rows: list[dict[str, str]] = []
        for number, file in enumerate(files):
            inside = folder / f".shard-{number}"
            try:
                unpack(file, inside, max_bytes=_PACKED * file.stat().st_size + (1 << 30))
            except DataError as error:
                raise DataError(f"{file}: {error}") from error
            samples: dict[str, dict[str, Path]] = defaultdict(dict)
            for member in sorted(p for p in inside.rglob("*") if p.is_file()):
                stem, _, kind = member.name.partition(".")
                samples[(member.parent.relative_to(inside) / stem).as_posix()][kind] = member
            for key, kinds in samples.items():
                rows.append(_part_of(file, root) | _sample(f"{file}: sample {key!r}", key, kinds, folder, file.name))
            for left in sorted(inside.rglob("*"), reverse=True):
                left.rmdir() if left.is_dir() else left.unlink()
            inside.rmdir()
        return rows

    return write


def _sample(where: str, key: str, kinds: Mapping[str, Path], folder: Path, shard: str) -> dict[str, str]:
    """One row: the sound, and what stands beside it by its ending, a JSON object by its keys."""
    sounds = [kind for kind in kinds if f".{kind.rpartition('.')[2].lower()}" in SOUND_SUFFIXES]
    if len(sounds) != 1:
        raise DataError(f"{where} holds {len(sounds)} audio members ({', '.join(kinds)}); it needs one")
    values: dict[str, str] = {}
    for kind, member in kinds.items():
        if kind.lower() == "json":
            found = json.loads(read_text(member), parse_float=str, parse_int=str)
            values |= {name: _text(value, None) for name, value in dict(found).items()}
        elif kind.lower() in ("cls", "txt", "label", "text", "fold", "split", "group"):
            values[{"cls": "label", "txt": "text"}.get(kind.lower(), kind.lower())] = read_text(member).strip()
    return values | {"path": _kept(kinds[sounds[0]].read_bytes(), folder, f"{key}.{sounds[0]}", shard)}


def _croissant(path: Path, columns: str) -> tuple[Path, Table]:
    """What Croissant metadata say of files beside them: which field is the audio, and in which table it stands."""
    place, meant = _described(path)
    given = dict(part.partition("=")[::2] for part in columns.split(",") if part)
    meant |= given
    found = sorted(path.parent.glob(place))
    if not found or not place.endswith((".csv", ".tsv", ".parquet")):
        why = "is no table that is read (.csv, .tsv, .parquet)" if found else "matches no file"
        raise DataError(f"{path}: the audio stands in {place}, which {why}")
    if place.endswith(".parquet"):
        folder, rows = unpacked(found, _arrow(found, path.parent))
        meant = {ours: theirs for ours, theirs in meant.items() if ours != "path" or "path" in given}
        rows = _one_part(rows)
        return folder, table_of(path, _header(rows), rows, _written(meant))
    return path.parent, read_table(found[0], _written(meant))


def _written(meant: Mapping[str, str]) -> str:
    """A mapping from our names to columns, as the option ``columns`` takes it."""
    return ",".join(f"{ours}={theirs}" for ours, theirs in meant.items())


def _described(path: Path) -> tuple[str, dict[str, str]]:
    """The files that hold the audio's table, and the column of each of our names that a field bears."""
    told = _json(path)
    sets = told.get("recordSet") if isinstance(told, dict) else None
    if not sets:
        raise DataError(f"{path} is no Croissant metadata: it has no recordSet")
    listed = [field for one in sets for field in one.get("field") or ()]
    fields = {str(field.get("name") or field.get("@id")).rpartition("/")[2]: field for field in listed}
    sounds = [name for name, field in fields.items() if "AudioObject" in str(field.get("dataType"))]
    if len(sounds) != 1:
        raise DataError(f"{path} has {len(sounds)} fields of sc:AudioObject among {', '.join(fields)}; it needs one")
    sources = {name: field.get("source") or {} for name, field in fields.items()}
    source = sources[sounds[0]]
    home = (source.get("fileObject") or source.get("fileSet") or {}).get("@id")
    files = [one for one in told.get("distribution") or () if one.get("@id") == home]
    place = str(files[0].get("contentUrl") or files[0].get("includes") or "") if files else ""
    if not place or "://" in place or ".." in PurePosixPath(place).parts or place.startswith("/"):
        raise DataError(f"{path}: the audio is in {home!r} ({place or 'nowhere'}); put its files beside the metadata")
    called = {name: (one.get("extract") or {}).get("column", name) for name, one in sources.items()}
    ours = {name: column for name, column in called.items() if name in (*OPTIONAL, "label")}
    return place, {"path": called[sounds[0]], **ours}
