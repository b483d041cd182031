"""What may happen to a valid file: bytes flipped or lost, other values, keys twice, deep nests, other encodings."""

from __future__ import annotations

import copy
import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

OTHERS: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 1.5, -0.0, 1e308, 1e-320, 10**18, 2**63, -(2**63) - 1, 10**30, "", " ", "x", "..",
    "../..", "/", "a/../b", "\x00", "\n", "é", "\u202e", "\ud800", "x" * 300, "=1+1", "<b>", "nan", "1e999",
    "2026-01-01", [], ["x"], [[]], [None] * 3, [1, "x", None], {}, {"x": {}}, {"": None},
)  # fmt: skip
"""Values of every type, to stand where another one should."""
DEEP, LONG = "@deep@", "@long@"
_RAW = {DEEP: "[" * 3000 + "]" * 3000, LONG: "1" * 5000, "@nan@": "NaN", "@inf@": "-Infinity", "@many@": "1e999"}
"""What no value can be dumped as: it stands in the text in place of a word."""
_TOML = (
    "1", "-1", "1.5", "1e999", "nan", "-inf", "true", '""', '"x"', "'..'", "[]", "[1, 'x']", "[[]]", "{}", "{x = {}}",
    "9" * 30, "9" * 5000, "0x10", "2026-01-01", "07:32:00", "{a.b = 1}", "[" * 2000 + "]" * 2000,
    "{x=" * 500 + "}" * 500,
    '"\\u0000"', '"""', "", "[1,,2]", '"\\ud800"', "1979-05-27T07:32:00Z", "'" + "x" * 3000 + "'", '"smoke"',
    '"/dev/null"',
)  # fmt: skip
_HEADS = ("[x]", "[recipe]", "[[result]]", "[result]", "[accuracy]", "[[x.y]]", "[]")
_CELLS = (
    "", " ", "0", "-1", "1.5", "1e30", "10" * 20, "nan", "x", "..", "/", "/dev/zero", "/proc/self/mem", "\x00", "\n",
    '"',
    "a|b", "|", "é", "\u202e", "x" * 300, "x" * 200_000, "train", "TRUE", "²", "\u0661", "=1+1", "a,b", "../" * 40,
)  # fmt: skip
WORDS = (
    "", " ", ",", "=", "-", "--", ":", "?", "&", "0", "-1", "1-0", "0-99999999", "9" * 30, "9" * 5000, "1e999", "nan",
    "inf", "none", "true", "[", "]" * 3, "[" * 3000, "{a=1}", "'", '"', '"""', "\\", "\x00", "\n", "é",
    "²", "\u0661-\u0663", "\u202e", "\ud800",
    "..", "/", "~", "~root", "x" * 5000, "recipe.", "recipe.lr=", "audio", "a,,b", "%s", "{}", "$HOME",
    "#", "1979-05-27",
)  # fmt: skip
_NUMBERS = tuple(
    number.to_bytes(size, order)
    for number in (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 2**63 - 1, 2**64 - 1)
    for size in (1, 2, 4, 8)
    for order in ("little", "big")
    if number < 256**size
)
_ENCODINGS = ("utf-16", "utf-16-be", "utf-32", "utf-8-sig", "latin-1", "cp1252", "utf-7")
Damage = Callable[[Random, bytes], bytes]


def damaged_bytes(rng: Random, content: bytes) -> bytes:
    """One to four changes of single bytes, numbers or stretches."""
    for _ in range(rng.randint(1, 4)):
        content = _stretch(rng, content)
    return content


def _put(content: bytes, at: int, new: bytes) -> bytes:
    return content[:at] + new + content[at + len(new) :]


def _stretch(rng: Random, content: bytes) -> bytes:
    """One change somewhere."""
    at = rng.randint(0, max(0, len(content) - 1))
    number, more = rng.choice(_NUMBERS), rng.randint(1, 64)
    changed: tuple[Callable[[], bytes], ...] = (
        lambda: _put(content, at, bytes([rng.randrange(256)])),
        lambda: _put(content, at, bytes([content[at] ^ 1 << rng.randrange(8)])) if content else b"\xff",
        lambda: _put(content, rng.randint(0, min(100, len(content))), number),
        lambda: _put(content, at, number),
        lambda: content[:at] + number + content[at:],
        lambda: content[:at],
        lambda: content[:-more],
        lambda: content[:at] + content[at + more :],
        lambda: content[:at] + content[at : at + 8 * more] * rng.randint(2, 5) + content[at:],
        lambda: _put(content, at, bytes(min(more, len(content) - at))),
        lambda: content[at:] + content[:at],
        lambda: content + rng.randbytes(more),
    )
    return rng.choice(changed)()


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value; of a list the first three."""
    yield at
    items = value.items() if isinstance(value, dict) else enumerate(value[:3]) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*at, key))


def damaged_value(rng: Random, value: Any, others: Sequence[Any] = OTHERS) -> Any:
    """A copy with one to three places changed: another value, a key away or renamed, a list cut or doubled."""
    whole = [copy.deepcopy(value)]
    for _ in range(rng.randint(1, 3)):
        at = (0, *rng.choice([*places(whole[0])]))
        home: Any = whole
        for key in at[:-1]:
            home = home[key]
        last, found = at[-1], home[at[-1]]
        how = rng.randrange(8)
        if how == 0 and home is not whole:
            del home[last]
        elif how == 1 and isinstance(found, list) and found:
            home[last] = found[: rng.randrange(len(found))] if rng.random() < 0.5 else found * 2
        elif how == 2 and isinstance(home, dict):
            home[f"{last}{rng.choice(['x', ' ', '_', ''])}"] = home.pop(last)
        elif how == 3 and isinstance(found, int | float) and not isinstance(found, bool):
            home[last] = rng.choice([-found, found + 1, found * 1e9, str(found), [found]])
        elif how == 4 and isinstance(found, str):
            home[last] = rng.choice([found + "x", found[:-1], found.upper(), [found], found + "\n", "\x1b" + found])
        else:
            home[last] = copy.deepcopy(rng.choice(others))
    return whole[0]


def damaged_json(rng: Random, content: bytes) -> bytes:
    """Other values in a JSON text, keys twice, deep nests and endless numbers, sometimes bytes too."""
    if rng.random() < 0.25:
        return damaged_bytes(rng, content)
    text = json.dumps(damaged_value(rng, json.loads(content), (*OTHERS, *_RAW)))
    for word, raw in _RAW.items():
        text = text.replace(f'"{word}"', raw)
    if rng.random() < 0.15 and (keys := list(re.finditer(r'"\w+": ', text))):
        key = rng.choice(keys)
        text = text[: key.start()] + key[0] + json.dumps(rng.choice(OTHERS)) + ", " + text[key.start() :]
    return _encoded(rng, text)


def damaged_toml(rng: Random, content: bytes) -> bytes:
    """Other values in a TOML text, keys and tables twice or away, sometimes bytes too."""
    lines = content.decode().splitlines()
    for _ in range(rng.randint(1, 3)):
        number = rng.randrange(len(lines))
        key, _, value = lines[number].partition(" = ")
        how = rng.randrange(8)
        if how < 4:
            lines[number] = f"{key if value else 'x'} = {rng.choice(_TOML)}"
        elif how == 4:
            lines.insert(number, lines[number])
        elif how == 5 and len(lines) > 1:
            del lines[number]
        elif how == 6:
            lines[number] = f"{rng.choice([key + 'x', '', key + '.a', chr(34) * 2, '.', key.upper()])} = {value or 1}"
        else:
            lines.insert(number, rng.choice(_HEADS))
    text = _encoded(rng, "\n".join(lines) + "\n")
    return damaged_bytes(rng, text) if rng.random() < 0.15 else text


def damaged_table(rng: Random, content: bytes) -> bytes:
    """Other cells in a CSV table, rows and columns twice, cut or away, other delimiters."""
    rows = list(csv.reader(io.StringIO(content.decode(), newline="")))
    for _ in range(rng.randint(1, 3)):
        row = rng.choice(rows) if rows else []
        how = rng.randrange(9)
        if how < 4 and row:
            row[rng.randrange(len(row))] = rng.choice(_CELLS)
        elif how == 4 and rows:
            rows.insert(rng.randrange(len(rows)), list(row))
        elif how == 5 and rows:
            del rows[rng.randrange(len(rows))]
        elif how == 6 and row:
            del row[rng.randrange(len(row)) :]
        elif how == 7 and row:
            column = rng.randrange(len(row))
            for cells in rows:
                cells[column:column] = cells[column : column + 1]
        else:
            row.append(rng.choice(_CELLS))
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=rng.choice(",,,,;\t"), lineterminator=rng.choice(["\n", "\n", "\r\n", "\r"])).writerows(
        rows
    )
    text = _encoded(rng, out.getvalue())
    return damaged_bytes(rng, text) if rng.random() < 0.2 else text


def damaged_lines(rng: Random, content: bytes) -> bytes:
    """Lines of JSON: one of them damaged, or lines twice, away or in another order."""
    lines = content.split(b"\n")
    for _ in range(rng.randint(1, 2)):
        number = rng.randrange(len(lines))
        if rng.random() < 0.7 and lines[number].startswith(b"{"):
            with_damage = damaged_json(rng, lines[number])
            lines[number] = with_damage
            break
        lines[number : number + 1] = rng.choice([[], [lines[number]] * 2, [b""], [b"null"]])
        lines = lines or [b""]
    if rng.random() < 0.1:
        rng.shuffle(lines)
    return b"\n".join(lines)


def damaged_words(rng: Random, content: bytes) -> bytes:
    """A word of the command line with parts of it replaced, doubled, cut or mixed with wild ones."""
    text = content.decode()
    for _ in range(rng.randint(1, 3)):
        parts = re.split(r"([,=:?&./-])", text)
        number = rng.randrange(len(parts))
        new = rng.choice(
            [rng.choice(WORDS), parts[number] * 2, rng.choice(parts), parts[number] + rng.choice(WORDS), ""]
        )
        text = "".join([*parts[:number], new, *parts[number + 1 :]])[:20_000]
    return text.encode(errors="surrogatepass")


def _encoded(rng: Random, text: str) -> bytes:
    """A text in UTF-8, seldom in another encoding."""
    encoding = rng.choice(_ENCODINGS) if rng.random() < 0.05 else "utf-8"
    return text.encode(encoding, errors="replace" if encoding in ("latin-1", "cp1252") else "surrogatepass")
