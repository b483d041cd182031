"""The verdict for CI: JUnit XML, annotations of GitHub, and the metric format of Bencher."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from xml.etree import ElementTree as ET

from bench import escaping
from bench.gate.verdict import Finding, Status, Verdict, table

_FAILURES: Mapping[Status, str] = MappingProxyType({"regression": "failure", "vanished": "error"})
_SKIPPED = frozenset({"not_compared", "new"})
_OPEN: tuple[Status, ...] = ("unresolved", "not_resolvable")


def junit(verdict: Verdict) -> str:
    """A suite with a case for each quantity of each row; a regression is a failure, what vanished an error."""
    suite = _suite(len(verdict.findings))
    for finding in verdict.ordered():
        case = ET.SubElement(suite, "testcase", classname=_legal(finding.row), name=_legal(finding.quantity))
        if kind := _FAILURES.get(finding.status):
            suite.set(f"{kind}s", str(int(suite.get(f"{kind}s", "0")) + 1))
            ET.SubElement(case, kind, type=finding.status, message=_legal(sentence(finding)))
        elif finding.status in _SKIPPED:
            suite.set("skipped", str(int(suite.get("skipped", "0")) + 1))
            ET.SubElement(case, "skipped", message=_legal(sentence(finding)))
    if verdict.outcome == "vanished" and suite.get("errors") == "0":
        suite.set("errors", "1")
        case = ET.SubElement(suite, "testcase", classname="gate", name="compared")
        ET.SubElement(case, "error", type="vanished", message=_legal(verdict.summary))
    return _text(suite)


def junit_refusal(reason: str) -> str:
    """A suite with the one error for which nothing could be compared."""
    suite = _suite(1)
    suite.set("errors", "1")
    case = ET.SubElement(suite, "testcase", classname="gate", name="compared")
    ET.SubElement(case, "error", type="refused", message=_legal(reason))
    return _text(suite)


def workflow_commands(verdict: Verdict) -> list[str]:
    """Workflow commands of GitHub: an error a regression or loss, a warning for what is not resolved."""
    levels: dict[Status, str] = {"regression": "error", "vanished": "error", **dict.fromkeys(_OPEN, "warning")}
    return [
        f"::{levels[one.status]} title={_property(f'{one.status}: {one.quantity}')}::{_data(sentence(one))}"
        for one in verdict.ordered()
        if one.status in levels
    ]


def bencher(verdict: Verdict) -> str:
    """What was measured of the candidate as Bencher Metric Format: row, quantity, value; times in nanoseconds."""
    rows: dict[str, dict[str, dict[str, float]]] = {}
    for one in verdict.findings:
        if one.candidate is not None:
            factor = 1e9 if one.unit == "s" else 1.0
            rows.setdefault(one.row, {})[one.quantity] = {"value": one.candidate * factor}
    return json.dumps(rows, indent=1, sort_keys=True, allow_nan=False) + "\n"


def sentence(finding: Finding) -> str:
    """One finding in one line."""
    (cells,) = table([finding])
    verdict, row, quantity, before, after, change, interval, tolerated, reason = cells
    if finding.change is None:
        return f"{verdict}: {quantity} of {row}{f': {reason}' if reason else ''}"
    said = f"{verdict}: {quantity} of {row} from {before} to {after}, {change}"
    return f"{said}{f' {interval}' if interval != '-' else ''} where {tolerated} is tolerated"


def _suite(cases: int) -> ET.Element:
    return ET.Element("testsuite", name="bench gate", tests=str(cases), failures="0", errors="0", skipped="0")


def _text(suite: ET.Element) -> str:
    suites = ET.Element("testsuites")
    suites.append(suite)
    ET.indent(suites)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ET.tostring(suites, encoding="unicode")}\n'


def _legal(text: str) -> str:
    """Without the characters that XML 1.0 has no way to write."""
    return "".join(
        letter if letter in "\t\n\r" or " " <= letter <= "\ud7ff" or "\ue000" <= letter <= "\ufffd" or letter > "\uffff"
        else "\N{REPLACEMENT CHARACTER}"
        for letter in escaping.terminal(text, keep="\t\n")
    )  # fmt: skip


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
