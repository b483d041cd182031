r"""Texts from outside (names, labels, reasons, log tails, versions, paths), made harmless: one function per format.

What has no special meaning in a format passes unchanged. Control characters and marks that turn the direction of
writing are shown as ``\uXXXX`` in every format, so that no file and no terminal obeys them.
"""

from __future__ import annotations

import json
import re
import shlex

from bench.allowed import UNSEEN

_PUNCTUATION = re.escape("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
_INLINE = re.compile(
    rf"\\(?=[{_PUNCTUATION}]|$)"  # what would escape the character behind it
    r"|<(?=[A-Za-z/!?])"  # a tag, a comment, an address
    r"|&(?=#|[A-Za-z][A-Za-z0-9]*;)"  # an entity
    r"|\](?=[(\[:])"  # the end of a link's text, the beginning of its definition
    r"|(?<=\S)\*|\*(?=\S)|(?<![^\W_])_(?=\S)|(?<=\S)_(?![^\W_])"  # emphasis
    r"|~(?=~)|(?<=~)~"
)
_START = re.compile(
    r"(?:#(?=#{0,5}(?:\s|$))|>|[-+*](?=\s|$)|(?<=\d)[.)](?=\s|$)|[`~](?=[`~]{2})|([-*_=])(?=(?:\s*\1){2,}\s*$))"
)
_FORMULA = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_LATEX |= {char: f"\\{char}" for char in "&%$#_{}"}


def terminal(text: str, keep: str = "") -> str:
    r"""A text that moves no cursor and colours nothing; a visible form of what would, which JSON reads back.

    Args:
        text: From anywhere.
        keep: Control characters that stay, such as line breaks.

    >>> print(terminal("a\x1b[31m\u202eb\n"))
    a\u001b[31m\u202eb\u000a
    """
    bare = text
    for char in keep:
        bare = bare.replace(char, "")
    if bare.isascii() and bare.isprintable():
        return text
    return UNSEEN.sub(lambda found: found[0] if found[0] in keep else f"\\u{ord(found[0]):04x}", text)


def line(text: str) -> str:
    r"""A text as one line: breaks and tabs become blanks, other control characters are shown.

    >>> line("two\n\tlines")
    'two lines'
    """
    return text if text.isprintable() else terminal(re.sub(r"[\t\n\r\x0b\x0c\x85\u2028\u2029]+", " ", text))


def markdown(text: str) -> str:
    r"""One line of Markdown that reads as the text: no tag, link, heading, list or emphasis of its own.

    >>> print(markdown("# <b>[x](javascript:y)"))
    \# \<b>[x\](javascript:y)
    """
    safe = _INLINE.sub(r"\\\g<0>", line(text).strip())
    start = re.match(r"\d{0,9}", safe)
    found = _START.match(safe, start.end() if start else 0)
    return safe if found is None else f"{safe[: found.start()]}\\{safe[found.start() :]}"


def cell(text: str) -> str:
    """:func:`markdown` for a cell of a table."""
    safe = _INLINE.sub(r"\\\g<0>", line(text).strip())
    return safe.replace("|", "\\|")


def code(text: str) -> str:
    """The text as code in a line of Markdown, in as many backticks as it takes.

    >>> code("net"), code("a`b")
    ('`net`', '``a`b``')
    """
    shown = line(text)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", shown)), default=0))
    blank = " " if shown.startswith("`") or shown.endswith("`") or not shown.strip() else ""
    return f"{fence}{blank}{shown}{blank}{fence}"


def html(text: str, *, quote: bool = True) -> str:
    """A text for HTML and XML, also inside the quotes of an attribute."""
    from html import escape  # its table of characters is long

    return escape(terminal(text, keep="\n\t"), quote=quote)


def csv(value: object) -> object:
    """A cell of a CSV table: a text that a spreadsheet would take for a formula stands behind an apostrophe.

    Numbers pass; :func:`csv_text` takes the apostrophe away.

    >>> csv("=1+1"), csv("a=b"), csv(-0.5)
    ("'=1+1", 'a=b', -0.5)
    """
    if not isinstance(value, str):
        return value
    shown = terminal(value, keep="\n")
    return f"'{shown}" if _FORMULA.match(shown) else shown


def csv_text(value: str) -> str:
    """The text that :func:`csv` wrote.

    >>> csv_text("'=1+1"), csv_text("'tis")
    ('=1+1', "'tis")
    """
    return value[1:] if value.startswith("'") and _FORMULA.match(value) else value


def latex(text: str) -> str:
    """A line of text for LaTeX."""
    return "".join(_LATEX.get(char, char) for char in line(text))


def toml(value: object) -> str:
    """A text, number or list as a TOML file takes it; half a surrogate pair, which it cannot say, is replaced."""
    return terminal(re.sub("[\ud800-\udfff]", "\ufffd", json.dumps(value, ensure_ascii=False)))


def shell(text: str) -> str:
    r"""One word of a command to type.

    >>> print(shell("a b"), shell("\x1b"))
    'a b' $'\u001b'
    """
    if UNSEEN.search(text) is None:
        return shlex.quote(text)
    quoted = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"$'{terminal(quoted)}'"
