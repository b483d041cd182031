"""The verdict as a table, as JSON values and as Markdown."""

from __future__ import annotations

import json
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from bench.gate.forms import bencher, junit, junit_refusal, workflow_commands
from bench.gate.verdict import HEADER, Finding, Verdict, markdown, table, value

FINDINGS = (
    Finding(row="a|<b>`c`", quantity="accuracy", unit="fraction", status="ok", baseline=0.8, candidate=0.81,
            change=0.01, low=-0.01, high=0.03, tolerance=0.02, relative=False),
    Finding(row="b", quantity="latency", unit="s", status="regression", baseline=0.01, candidate=0.013, change=0.3,
            low=0.25, high=0.35, tolerance=0.15, reason="20 and 20 blocks"),
    Finding(row="c", quantity="all", status="vanished", reason="not in\nthe results"),
)  # fmt: skip


def test_the_gravest_comes_first_and_the_outcome_is_the_gravest():
    verdict = Verdict(findings=FINDINGS)
    assert [f.status for f in verdict.ordered()] == ["regression", "vanished", "ok"]
    assert verdict.outcome == "regression"
    assert verdict.summary == "regression: 1 regression, 1 vanished, 1 ok"
    assert Verdict(findings=FINDINGS[::2]).outcome == "vanished"
    assert Verdict(findings=FINDINGS[:1]).outcome == "passed"
    open_ = Finding(row="d", quantity="latency", status="not_resolvable")
    assert Verdict(findings=(*FINDINGS[:1], open_)).outcome == "not_resolvable"
    assert Verdict(findings=(open_,)).summary.startswith("not resolvable in the time given: 1 ")
    assert Verdict(findings=(*FINDINGS[::2], open_)).outcome == "vanished"
    assert Verdict(findings=()).outcome == "vanished"
    assert Verdict(findings=()).summary == "vanished: nothing was compared"


def test_cells_of_the_table():
    accuracy, latency, gone = (dict(zip(HEADER, row, strict=True)) for row in table(FINDINGS))
    assert (accuracy["change"], accuracy["tolerated"]) == ("+1.00 points", "2.00 points")
    assert accuracy["interval"] == "[-1.00 points, +3.00 points]"
    assert (latency["baseline"], latency["candidate"], latency["change"]) == ("10 ms", "13 ms", "+30.0 %")
    assert (gone["baseline"], gone["change"], gone["interval"], gone["tolerated"]) == ("-",) * 4


def test_markdown_cannot_be_broken_by_names():
    text = markdown(Verdict(findings=FINDINGS, notes=("torch <2.12>",)))
    assert "a\\|\\<b>`c`" in text
    assert "not in the results" in text
    assert "- torch <2.12>" in text
    lines = [line.replace("\\|", "") for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in lines} == {len(HEADER) + 1}
    assert text.index("regression") < text.index("<details><summary>1 more")


def test_json_holds_no_text_for_numbers():
    values = json.loads(json.dumps(Verdict(findings=FINDINGS).to_json(), allow_nan=False))
    assert values["findings"][0]["change"] == 0.3
    assert values["outcome"] == "regression"


def test_values_have_units():
    assert value("s", 5e-10) == "0.5 ns"
    assert value("s", 2.5) == "2.5 s"
    assert value("s", 1234.0) == "1234 s"
    assert value("clips/s", 12.34) == "12.3 clips/s"
    assert value("MiB", 640.44) == "640.4 MiB"
    assert value("B", 4000) == "4000 B"
    assert value("nats", 1.59772) == "1.598 nats"


def test_junit_counts_what_it_holds():
    suite = ET.fromstring(junit(Verdict(findings=FINDINGS)))[0]
    assert {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "3", "failures": "1", "errors": "1", "skipped": "0",
    }  # fmt: skip
    failed, gone, good = suite
    assert failed.get("classname") == "b"
    assert failed[0].get("message") == (
        "regression: latency of b from 10 ms to 13 ms, +30.0 % [+25.0 %, +35.0 %] where 15.0 % is tolerated"
    )
    assert (gone[0].tag, gone[0].get("message")) == ("error", "vanished: all of c: not in\nthe results")
    assert len(good) == 0


def test_a_gate_that_compared_nothing_is_no_green_junit():
    suite = ET.fromstring(junit(Verdict(findings=())))[0]
    assert suite.get("errors") == "1"
    suite = ET.fromstring(junit_refusal("the baseline was changed"))[0]
    assert (suite.get("errors"), suite[0][0].get("message")) == ("1", "the baseline was changed")


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_no_text_breaks_junit_or_annotations(text):
    finding = Finding(row=text, quantity=text, status="regression", reason=text)
    case = ET.fromstring(junit(Verdict(findings=(finding,))))[0][0]
    assert case[0].tag == "failure"
    (line,) = workflow_commands(Verdict(findings=(finding,)))
    assert "\n" not in line
    assert "\r" not in line
    assert line.count("::", 0, line.index("::", 2) + 2) == 2


def test_annotations_are_for_what_needs_attention():
    lines = workflow_commands(Verdict(findings=FINDINGS))
    assert [line.split(" ")[0] for line in lines] == ["::error", "::error"]
    assert lines[0].startswith("::error title=regression%3A latency::regression: latency of b from 10 ms to 13 ms")
    assert "30.0 %25" in lines[0]


def test_bencher_has_values_and_times_in_nanoseconds():
    found = json.loads(bencher(Verdict(findings=FINDINGS)))
    assert found == {"a|<b>`c`": {"accuracy": {"value": 0.81}}, "b": {"latency": {"value": 13e6}}}
