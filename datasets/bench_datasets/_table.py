"""A user's table: encodings, delimiters, column names, labels. What is uncertain is asked for, never guessed."""

from __future__ import annotations

import codecs
import csv
import difflib
import io
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import DataError, read_bytes

REQUIRED = ("path", "label")
OPTIONAL = ("fold", "split", "group", "text", "image")
DELIMITERS = (",", ";", "\t")
SEPARATORS = (",", ";")
"""What may join several labels beside ``|``; a label that holds one must be decided by the user."""
JOINS = ("/", "+", "&")
"""What may join them too; asked about where what stands before or behind it is a label of its own."""
USUAL = {
    "path": ("filename", "file_name", "file", "filepath", "file_path", "audio", "wav", "clip"),
    "label": ("category", "class", "class_name", "target", "labels", "tags", "species", "y"),
}
"""Names under which other programs write the required columns: they are proposed, never taken."""

_SHOWN = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The rows ``(line number, values)`` by this project's column names; a surplus cell has the empty name.

    ``notes`` says what was not plain: another delimiter or encoding, a row index, renamed columns.
    """

    columns: tuple[str, ...]
    lines: tuple[tuple[int, dict[str, str]], ...]
    unused: tuple[str, ...]
    notes: tuple[str, ...]


def read_table(path: Path, columns: str = "") -> Table:
    """The table of a file; ``columns``, ``path=filename,fold=``, says which column is meant and which is left out."""
    text, encoding = _decoded(path)
    wanted = _renames(columns)
    first = text.partition("\n")[0]
    delimiter = max(DELIMITERS, key=lambda mark: (first.count(mark), -DELIMITERS.index(mark)))
    notes = [f"read as {encoding}"] if encoding != "UTF-8" else []
    if delimiter != "," and delimiter in first:
        notes.append(f"cells are separated by {'tabs' if delimiter == chr(9) else repr(delimiter)}")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        cells = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        advice = "a quote that nothing closes, or text behind a closed one, joins lines; write a quote in a cell twice"
        raise DataError(f"cannot read {path}, line {reader.line_num}: {error}; {advice}") from error
    if header and not header[0] and [row[0] for _, row in cells] == [str(index) for index in range(len(cells))]:
        notes.append("the first column counts the rows and has no name: left out")
        header, cells = header[1:], [(line, row[1:]) for line, row in cells]
    return _table(path, header, cells, wanted, notes)


def table_of(path: Path, header: Sequence[str], rows: Sequence[Mapping[str, str]], columns: str = "") -> Table:
    """The table of rows that a container holds, their numbers in place of lines."""
    cells = [(number, [row.get(name, "") for name in header]) for number, row in enumerate(rows, 1)]
    return _table(path, list(header), cells, _renames(columns), [])


def _table(
    path: Path, header: list[str], cells: Sequence[tuple[int, list[str]]], wanted: dict[str, str], notes: list[str]
) -> Table:
    names = _named(path, header, wanted)
    lines = [(line, _values(names, row)) for line, row in cells]
    if not lines:
        raise DataError(f"{path} holds no clip below its first line")
    known = (*REQUIRED, *OPTIONAL)
    notes += [f"column {theirs!r} is read as {ours}" for ours, theirs in wanted.items() if theirs]
    return Table(
        columns=tuple(name for name in names if name in known),
        lines=tuple(lines),
        unused=tuple(theirs for theirs, ours in zip(header, names, strict=True) if ours not in known),
        notes=tuple(notes),
    )


def _decoded(path: Path) -> tuple[str, str]:
    content = read_bytes(path)
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return content.decode("utf-16" if wide else "utf-8-sig"), "UTF-16" if wide else "UTF-8"
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(
            f"cannot read {path}: byte {content[error.start]:#04x} on line {line} is neither UTF-8 nor UTF-16; if it "
            f"was saved as Latin-1: iconv -f latin1 -t utf-8 {path.name} > {path.stem}-utf8{path.suffix}"
        ) from error


def _renames(columns: str) -> dict[str, str]:
    """``path=filename,fold=`` as ``{"path": "filename", "fold": ""}``."""
    found = {}
    for part in filter(None, (part.strip() for part in columns.split(","))):
        ours, equals, theirs = part.partition("=")
        if not equals or ours not in (*REQUIRED, *OPTIONAL):
            allowed = ", ".join((*REQUIRED, *OPTIONAL))
            raise DataError(
                f"columns={part!r}: write OURS=YOURS, e.g. path=filename,label=category; ours are {allowed}"
            )
        found[ours] = theirs.strip()
    return found


def _named(path: Path, header: Sequence[str], wanted: dict[str, str]) -> list[str]:
    """This project's name of each column of the file, or an empty name where it has no meaning here."""
    doubled = [name for name, count in Counter(header).items() if count > 1 and name]
    if doubled:
        raise DataError(f"{path} has the column {shown(doubled[0])!r} twice; rename one of them")
    if absent := [theirs for theirs in wanted.values() if theirs and theirs not in header]:
        close = difflib.get_close_matches(absent[0], header, n=1)
        advice = f"did you mean {close[0]!r}?" if close else f"its columns are {shown(', '.join(header))}"
        raise DataError(f"columns: {path} has no column {absent[0]!r}; {advice}")
    taken = {theirs: ours for ours, theirs in wanted.items() if theirs}
    names = [
        taken.get(theirs, "" if theirs in wanted or theirs not in (*REQUIRED, *OPTIONAL) else theirs)
        for theirs in header
    ]
    if missing := [name for name in REQUIRED if name not in names]:
        lower = {name.lower(): name for name in header}
        usual = {ours: next((lower[name] for name in USUAL[ours] if name in lower), "") for ours in missing}
        meant = ",".join(f"{ours}={theirs or 'YOURS'}" for ours, theirs in usual.items())
        raise DataError(
            f"{path} has no column {' and no column '.join(missing)}; its first line is {shown(','.join(header))!r}. "
            f"Needed: path,label; possible: {','.join(OPTIONAL)}. Other names: --data '{path.name}?columns={meant}'"
        )
    return names


def _values(names: Sequence[str], row: Sequence[str]) -> dict[str, str]:
    values = {name: cell.strip() for name, cell in zip(names, row, strict=False) if name}
    values |= {name: "" for name in names[len(row) :] if name}
    return values | ({"": row[len(names)]} if len(row) > len(names) else {})


def shown(text: str) -> str:
    """A text of a table as a message has it, cut where it is endless."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def split_labels(labels: Sequence[str], separator: str = "") -> list[tuple[str, ...]]:
    """The parts of each label between ``separator``; ``none`` = nothing separates, empty = ``|``."""
    single = {plain(label) for label in labels}
    for mark in () if separator else (*SEPARATORS, *JOINS):
        sure = mark in SEPARATORS
        among = (label for label in labels if mark in label)
        if doubtful := next((x for x in among if sure or single & set(map(plain, x.split(mark)))), None):
            raise DataError(
                f"label {shown(doubtful)!r} holds {mark!r}: did you mean multi-label? --data "
                f"'TABLE?label_separator={mark}' splits it, label_separator=none takes it as one name"
            )
    whole = separator == "none"
    parts = [(label,) if whole else tuple(map(str.strip, label.split(separator or "|"))) for label in labels]
    if broken := next((label for label, found in zip(labels, parts, strict=True) if not all(found)), None):
        raise DataError(f"label {shown(broken)!r} has an empty part between its separators")
    if clashes := alike([name for found in parts for name in found]):
        raise DataError(f"labels differ in spelling only: {clashes}. Write each class in one way in the table")
    return parts


def alike(names: Sequence[str]) -> str:
    """The names that differ in spelling only, with their counts; empty where there are none."""
    counts = Counter(names)
    spelled: dict[str, list[str]] = defaultdict(list)
    for name in sorted(counts):
        spelled[plain(name)].append(name)
    clashes = [found for found in spelled.values() if len(found) > 1]
    return "; ".join(" and ".join(f"{shown(name)!a} ({counts[name]} clips)" for name in found) for found in clashes[:5])


def plain(name: str) -> str:
    """A name without what people do not see in it: case, forms of Unicode, marks of format, kinds of space, zeros.

    >>> plain("Red_Fox") == plain("red  fox"), plain("01") == plain("1.0"), plain("-1") == plain("1")
    (True, True, False)
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    seen = "".join(sign for sign in folded if unicodedata.category(sign) != "Cf").strip()
    if re.fullmatch(r"[+-]?[0-9]+([.][0-9]+)?", seen):
        return str(float(seen))
    return re.sub(r"(?<=\w)[\s_-]+(?=\w)", " ", seen)
