"""What is not judged: twice, late, or before its time; with a clock and without."""

import pytest

from strongroom.risk.events import Event
from strongroom.risk.intake import HELD, Intake

DAY = 86_400


def event(number, ts, user=None):
    who = user or f"u{number % 7}"
    return Event(f"e{number}", ts, "login", who, device_key=f"k-{who}")


def settled(events, intake=None):
    """Return (id, word) of all, in the order they were settled."""
    intake = intake or Intake()
    found = [one for next_ in events for one in intake.feed(next_)]
    return [(one.event_id, word) for one, _, word in found + intake.flush()]


def words(events, intake=None):
    return [word for _, word in settled(events, intake)]


def test_every_event_comes_out_once_and_in_order():
    times = [0, 5, 4 * DAY, 6, 7, 8, 9, 10, 11, 12, 13]
    assert [name for name, _ in settled([event(n, ts) for n, ts in enumerate(times)])] == [f"e{n}" for n in range(11)]


def test_ten_minutes_out_of_order_are_judged_and_more_is_late():
    assert words([event(0, 10_000), event(1, 10_060), event(2, 9460), event(3, 9459)]) == ["", "", "", "late"]


def test_an_event_twice_is_a_duplicate():
    assert words([event(0, 10), event(1, 11), event(0, 10), event(1, 12)]) == ["", "", "duplicate", "duplicate"]


def test_one_event_far_ahead_is_set_aside_and_does_not_make_the_rest_late():
    events = [*(event(n, n) for n in range(20)), event(50, 30 * DAY), *(event(n, n) for n in range(20, 40))]
    assert words(events) == [""] * 20 + ["future"] + [""] * 20


def test_a_first_event_from_the_future_is_set_aside():
    assert words([event(50, 30 * DAY), *(event(n, n) for n in range(20))]) == ["future"] + [""] * 20


def test_a_quiet_week_is_no_jump():
    events = [*(event(n, n) for n in range(20)), *(event(n, 7 * DAY + n) for n in range(20, 40))]
    assert words(events) == [""] * 40


def test_one_user_alone_after_quiet_days():
    assert words([event(n, n * 3 * DAY, "ann") for n in range(12)])[:-1] == [""] * 11


def test_a_late_event_just_after_a_gap_does_not_undo_the_gap():
    events = [
        *(event(n, n) for n in range(9)),
        event(9, 9 * DAY),
        event(10, 8),
        *(event(n, 9 * DAY) for n in range(11, 30)),
    ]
    assert words(events) == [""] * 10 + ["late"] + [""] * 19


def test_a_device_with_a_wrong_clock_does_not_make_everybody_late_for_long():
    wrong = [event(100 + n, 50 * DAY + n, "tim") for n in range(HELD + 1)]
    after = [event(n, 20 + n) for n in range(20, 60)]
    found = words([*(event(n, n) for n in range(20)), *wrong, *after])
    assert found[-30:] == [""] * 30


def test_with_a_clock_the_future_is_what_lies_ahead_of_it():
    intake = Intake(now=1000)
    assert [intake.check(event(n, ts)) for n, ts in enumerate((900, 1300, 1301, 10**9))] == ["", "", "future", "future"]


def test_the_memory_of_ids_is_bounded(monkeypatch):
    monkeypatch.setattr("strongroom.risk.intake.REMEMBERED", 10)
    intake = Intake()
    for n in range(1000):
        assert intake.check(event(n, 5)) == ""
    assert len(intake._ids) + len(intake._before) <= 20
    assert intake.check(event(999, 5)) == "duplicate"


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_short_recording_is_judged(count):
    assert words([event(n, n) for n in range(count)]) == [""] * count


def test_an_empty_recording():
    assert words([]) == []


def test_lines_that_hold_no_event_keep_their_place():
    intake = Intake()
    found = [*intake.feed(event(0, 0)), *intake.feed(None, "x"), *intake.feed(event(1, 1))]
    found += intake.flush()
    assert [(one.event_id if one else name, word) for one, name, word in found] == [
        ("e0", ""), ("x", "malformed"), ("e1", ""),
    ]  # fmt: skip
