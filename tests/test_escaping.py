"""Texts from outside in every format: what is read back is the text, and nothing else came with it."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
import subprocess
import tomllib
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree as ET

from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from bench import escaping
from bench.allowed import UNSEEN

ALPHABET = "\\`*_{}[]()<>#+-=.!|~&:;/'\"@$%^?, \n\t\r0a1b\x1b\x9b\x7f\x85\u2028\u202e\u2066é漢&"
PIECES = (
    "<b>", "</td>", "<!--", "<script>", "[x](javascript:alert(1))", "![i](u)", "[x]: /u", "[x][y]", "<http://a.b>",
    "# h", "> q", "- i", "1. i", "```", "~~~", "---", "===", "&lt;", "&#60;", "\\", "`", "*", "_", "~~", "|", "\n",
    "\n\n", "    ", "\x1b[31m", "\u202e", "=1+1", "@SUM", "\t=x", "'=", "word", "x_y", "a*b",
)  # fmt: skip
TEXTS = st.one_of(
    st.text(max_size=40), st.text(alphabet=ALPHABET, max_size=30), st.lists(st.sampled_from(PIECES)).map("".join)
)
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
FORMATTED = {"html_inline", "html_block", "link_open", "image", "heading_open", "em_open", "strong_open", "s_open",
             "bullet_list_open", "ordered_list_open", "blockquote_open", "fence", "code_block", "hr"}  # fmt: skip
MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])
budget = settings(max_examples=200, deadline=None)


def tokens(source: str) -> list[Token]:
    """All tokens of a page, those inside others too."""
    found = MARKDOWN.parse(source)
    return [token for block in found for token in (block, *(block.children or ()))]


def words(found: list[Token]) -> str:
    """What a reader sees of tokens."""
    return "".join(token.content for token in found if token.type in ("text", "code_inline", "text_special"))


@budget
@given(TEXTS)
@example("[x]: /u")
@example("a\\")
@example("`<b>` [x](y) `")
def test_markdown_holds_no_markup_of_the_text(text: str) -> None:
    safe = escaping.markdown(text)
    assert "\n" not in safe
    assert not CONTROL.search(safe)
    for before, own in (("", set()), ("- ", {"bullet_list_open"}), ("## ", {"heading_open"}), ("Said: ", set())):
        found = tokens(f"{before}{safe}\n\n[x] [y]\n")
        assert {token.type for token in found} & FORMATTED == own, (before, safe)
    if "`" not in text:  # code shows its contents with the escapes, which is harmless
        assert words(tokens(f"Said: {safe}")).split() == f"Said: {escaping.line(text)}".split()


@budget
@given(st.lists(TEXTS, min_size=2, max_size=3))
def test_a_cell_stays_in_its_column(texts: list[str]) -> None:
    rows = [[f"h{place}" for place in range(len(texts))], ["---"] * len(texts), [escaping.cell(text) for text in texts]]
    found = tokens("\n".join(f"| {' | '.join(row)} |" for row in rows))
    kinds = [token.type for token in found]
    assert not set(kinds) & FORMATTED
    assert (kinds.count("table_open"), kinds.count("td_open")) == (1, len(texts))


@budget
@given(TEXTS)
def test_code_shows_the_text(text: str) -> None:
    found = tokens(f"- {escaping.code(text)}: more")
    assert {token.type for token in found} & FORMATTED == {"bullet_list_open"}
    (code,) = (token for token in found if token.type == "code_inline")
    assert code.content.strip() == escaping.line(text).strip()


@budget
@given(st.lists(TEXTS, min_size=1, max_size=4))
def test_csv_comes_back_and_starts_no_formula(texts: list[str]) -> None:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow([escaping.csv(text) for text in texts])
    (row,) = csv.reader(io.StringIO(buffer.getvalue(), newline=""))
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row)
    assert [escaping.csv_text(cell) for cell in row] == [escaping.terminal(text, keep="\n") for text in texts]
    assert not CONTROL.search(buffer.getvalue())


def test_numbers_in_csv_are_numbers() -> None:
    assert [escaping.csv(value) for value in (-0.5, 3, None, True)] == [-0.5, 3, None, True]


class Elements(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, Any]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, attrs))

    def handle_comment(self, data: str) -> None:
        self.tags.append(("!", data))

    handle_decl = handle_pi = unknown_decl = handle_comment

    def handle_data(self, data: str) -> None:
        self.text += data


@budget
@given(TEXTS)
def test_html_and_xml_have_no_new_element(text: str) -> None:
    shown = escaping.terminal(text, keep="\n\t")
    page = Elements()
    page.feed(f'<p title="{escaping.html(text)}">{escaping.html(text)}</p>')
    page.close()
    assert page.tags == [("p", [("title", shown)])]
    assert page.text == shown
    legal = "".join(letter for letter in text if letter not in "\ufffe\uffff")
    element = ET.fromstring(f"<p>{escaping.html(legal)}</p>")
    assert element.text in (escaping.terminal(legal, keep="\n\t"), None)


@budget
@given(TEXTS)
def test_latex_has_no_special_character_left(text: str) -> None:
    safe = escaping.latex(text)
    bare = re.sub(r"\\(textbackslash|textasciitilde|textasciicircum)\{\}|\\[&%$#_{}]", "", safe)
    assert not set(bare) & set("\\&%$#_{}~^\n")
    assert not CONTROL.search(safe)


@budget
@given(TEXTS)
def test_terminal_shows_what_it_would_obey(text: str) -> None:
    assert not UNSEEN.search(escaping.terminal(text))
    assert not UNSEEN.search(escaping.line(text))
    quoted = escaping.terminal(json.dumps(text, ensure_ascii=False))
    assert json.loads(quoted) == text
    assert escaping.terminal(escaping.terminal(text)) == escaping.terminal(text)


@budget
@given(TEXTS)
def test_toml_and_shell_read_the_text_back(text: str) -> None:
    assert tomllib.loads(f"v = {escaping.toml(text)}") == {"v": re.sub("[\ud800-\udfff]", "\ufffd", text)}
    word = escaping.shell(text)
    assert not UNSEEN.search(word)
    if not UNSEEN.search(text):
        assert shlex.split(word) == [text]


def test_a_shell_reads_control_characters_back() -> None:
    text = "it's\x1b[31m\u202e a\\b"
    said = subprocess.run(
        ["bash", "-c", f"LC_ALL=C.UTF-8 printf %s {escaping.shell(text)}"], capture_output=True, check=True
    )
    assert said.stdout.decode() == text
