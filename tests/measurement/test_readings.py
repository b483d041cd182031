import pytest

from bench.measurement.readings import Reading, join, table


@pytest.mark.parametrize(("value", "reason"), [(None, None), (0.0, "why"), (3, "why")])
def test_a_reading_is_a_value_or_a_reason(value, reason):
    with pytest.raises(ValueError, match="a value or a reason"):
        Reading(value, reason)


def test_zero_is_a_value():
    assert Reading.of(0).value == 0


def test_table_keeps_unknown_as_none_with_its_reason():
    assert table({"a": Reading.of(1.5), "b": Reading.unknown("no counter")}) == {
        "a": 1.5,
        "b": None,
        "reasons": {"b": "no counter"},
    }
    assert table({"a": Reading.of(1)}) == {"a": 1}


def test_join_unites_reasons_and_refuses_a_name_given_twice():
    first, second = table({"a": Reading.unknown("x")}), table({"b": Reading.unknown("y")})
    assert join(first, second)["reasons"] == {"a": "x", "b": "y"}
    with pytest.raises(ValueError, match="measured twice: a"):
        join(first, first)
