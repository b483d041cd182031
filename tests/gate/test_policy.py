"""Policy files: what may stand in them and what is said about the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.errors import SelectionError
from bench.gate.policy import DEFAULTS, family, parse_policy
from bench.results.quantities import QUANTITIES


def test_an_empty_file_is_the_defaults():
    assert dict(parse_policy("", "gate.toml")) == dict(DEFAULTS)
    gated = {family(one.gated) for one in QUANTITIES if one.gated}
    scores = {family("x", unit, score=True) for unit in ("fraction", "nats", "")}
    assert gated | scores | {family("carbon_g")} == set(DEFAULTS)


def test_only_what_is_written_differs():
    policy = parse_policy('[latency]\nrelative = 0.05\n[accuracy]\nrelative = 0.01\nevidence = "change"\n', "gate.toml")
    assert policy["latency"].tolerance == 0.05
    assert policy["latency"].same_hardware
    assert (policy["accuracy"].absolute, policy["accuracy"].relative) == (None, 0.01)
    assert policy["accuracy"].better is None
    assert policy["throughput"] == DEFAULTS["throughput"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[latncy]\nrelative = 0.1", r"no quantity named 'latncy'\. Did you mean 'latency'\? Known: accuracy"),
        ("[latency]\nrelativ = 0.1", r"\[latency\] no key named 'relativ'\. Did you mean 'relative'\?"),
        ("latency = 0.1", r"latency = 0\.1 is no table; write \[latency\]"),
        ("[latency]\nrelative = -0.1", r"relative = -0\.1 is not allowed; give a number of 0 or more"),
        ("[latency]\nrelative = nan", "relative = nan is not allowed"),
        ("[latency]\nrelative = true", "relative = True is not allowed"),
        ('[latency]\nrelative = "15 %"', "relative = '15 %' is not allowed"),
        ("[latency]\nrelative = 0.1\nabsolute = 0.1", "has a relative and an absolute tolerance"),
        ('[latency]\nbetter = "faster"', "better = 'faster' is not allowed; give 'lower'"),
        ("[latency]\nlevel = 1", "level = 1 is not allowed"),
        ("[latency]\nskip = 1", "skip = 1 is not allowed; give true or false"),
        ("[latency", "gate.toml is not TOML"),
    ],
)
def test_mistakes_are_named(text, words):
    with pytest.raises(SelectionError, match=words) as caught:
        parse_policy(text, "gate.toml")
    assert str(caught.value).startswith("gate.toml")


def test_the_policy_of_the_guide_is_valid_and_its_table_shows_the_defaults():
    page = (Path(__file__).resolve().parents[2] / "docs" / "gate.md").read_text(encoding="utf-8")
    example = page.split("```toml")[1].split("```")[0]
    assert parse_policy(example, "gate.md") != DEFAULTS
    for name, rule in DEFAULTS.items():
        (line,) = [line for line in page.splitlines() if line.startswith(f"| `{name}` |")]
        tolerance = f"{rule.relative * 100:.0f} %" if rule.relative is not None else f"{rule.absolute * 100:.0f} points"
        assert f"| {tolerance} |" in line
        assert line.endswith(f"| {'yes' if rule.same_hardware else 'no'} |")
