"""Times as people write them."""

import contextlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.cli.entitlement import read_time
from strongroom.errors import Code, InputError

NOW = 1_800_000_000  # 2027-01-15T08:00:00Z


def at(*parts):
    return int(datetime(*parts, tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("word", "seconds"),
    [
        ("30d", NOW + 30 * 86_400),
        ("12h", NOW + 12 * 3600),
        ("2w", NOW + 14 * 86_400),
        ("2027-01-31", at(2027, 1, 31, 23, 59, 59)),
        ("2027-01-31T12:00:00Z", at(2027, 1, 31, 12)),
        ("2027-01-31T12:00:00", at(2027, 1, 31, 12)),
        ("2027-01-31T12:00:00+02:00", at(2027, 1, 31, 10)),
    ],
)
def test_times(word, seconds):
    assert read_time(word, now=NOW) == seconds


@pytest.mark.parametrize(
    "word",
    ["", "soon", "30", "30m", "-1d", "1.5d", "2027-02-30", "2027-13-01", "0d", "2026-12-31", "2027-01-15T08:00:00Z",
     "9999999d", "9999-12-31T23:59:59-23:00", "2027-01-31\n", "\u0661d", "1d" * 100, "2027-01-31T25:00:00Z"],
)  # fmt: skip
def test_what_is_no_future_time(word):
    with pytest.raises(InputError) as caught:
        read_time(word, now=NOW)
    assert caught.value.code == Code.ARGUMENT


@given(st.text(max_size=30))
def test_any_text_is_a_future_time_or_a_typed_error(word):
    with contextlib.suppress(InputError):
        assert read_time(word, now=NOW) > NOW


@given(st.datetimes(min_value=datetime(2027, 1, 16), max_value=datetime(9999, 12, 30)))  # noqa: DTZ001 - hypothesis wants naive
def test_iso_times_round_trip(moment):
    moment = moment.replace(tzinfo=UTC, microsecond=0)
    assert read_time(moment.isoformat(), now=NOW) == int(moment.timestamp())
