"""The device's time: never back, whatever its owner does to the wall clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rooms.edge.memory_office import DAY
from strongroom.edge import clock
from strongroom.edge.clock import MAX_SLIPS, SLIP_COST, Anchor, Reading
from strongroom.errors import Code, RefusedError

NOW = 1_800_000_000
ANCHOR = Anchor(NOW, 500, "boot-1", 0)


@given(st.integers(0, 2**40), st.integers(500, 2**31))
def test_time_never_goes_back_in_one_boot(wall, boot):
    """C09, C10: time = max(seen, wall, seen + boot time since)."""
    found = clock.advance(ANCHOR, Reading(wall, boot, "boot-1"))
    assert found.seen == max(NOW + boot - 500, wall)
    assert found.slips == 0


@pytest.mark.parametrize("back", [3600, DAY, 3650 * DAY], ids=["an hour", "a day", "ten years"])
def test_a_clock_turned_back_still_runs(back):
    """C09: with the wall clock back, time goes on by the machine's own uptime."""
    found = clock.advance(ANCHOR, Reading(NOW + 100 - back, 600, "boot-1"))
    assert found.seen == NOW + 100


def test_starts_with_a_clock_in_the_past_cost_an_hour_and_are_counted():
    """C09, A11: restarting with the clock turned back is not free, and not endless."""
    anchor = ANCHOR
    for number in range(1, MAX_SLIPS + 1):
        anchor = clock.advance(anchor, Reading(NOW - DAY, 10, f"boot-{number + 1}"))
        assert anchor.seen == NOW + number * SLIP_COST
    again = clock.advance(anchor, Reading(NOW - DAY, 70, anchor.boot_id))
    assert again.seen == anchor.seen + 60
    with pytest.raises(RefusedError) as caught:
        clock.advance(again, Reading(NOW - DAY, 10, "boot-9"))
    assert caught.value.code == Code.CLOCK
    assert clock.advance(again, Reading(NOW + DAY, 10, "boot-9")).seen == NOW + DAY
    asked, now = Reading(0, 10, "boot-9"), Reading(0, 17, "boot-9")
    assert clock.contact(NOW + 5, asked, now) == Anchor(NOW + 12, 17, "boot-9", 0)


def test_this_machine_has_clocks():
    first, second = clock.read_clocks(), clock.read_clocks()
    assert second.boot >= first.boot > 0
    assert first.boot_id == second.boot_id != ""
    assert clock.start(first).seen == first.wall
