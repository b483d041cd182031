"""JSON read and written: the same values and texts as the standard library gives, sooner."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.results.reading import parse_json
from bench.results.writing import json_text

NUMBERS = st.one_of(st.integers(-(1 << 63) + 1, (1 << 63) - 1), st.floats(allow_nan=False, allow_infinity=False))
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
TOO_LARGE = st.one_of(
    st.integers(1 << 63, 1 << 400).map(str),
    st.integers(1 << 63, 1 << 400).map(lambda value: f"-{value}"),
    st.sampled_from(["1e400", "-1E+309", "2.5e0999", "10e99999999999", "1234567890e301", "9" * 330 + ".5"]),
)


@given(value=VALUES)
def test_text_is_that_of_the_standard_library_and_is_read_back(value: Any) -> None:
    text = json_text(value)
    assert text == json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    assert parse_json(text) == value


@given(number=TOO_LARGE, beside=VALUES, space=st.sampled_from(["", " ", "\n", "\t"]))
def test_a_number_beyond_64_bits_is_found_wherever_it_stands(number: str, beside: Any, space: str) -> None:
    for text in (number, f"[{json.dumps(beside)},{space}{number}{space}]", f'{{"a":{number}{space},"b":1}}'):
        with pytest.raises(ValueError, match=r"beyond 64 bits|number"):
            parse_json(text)


@pytest.mark.parametrize("value", [math.nan, math.inf, [1.0, -math.inf], {"a": {"b": math.nan}}])
def test_what_json_has_no_number_for_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_text(value)
