"""One contract for all that counts requests: the adapter of one process, and a model of it that is easy to see."""

import asyncio
import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.server.limits.memory import FULL_SECONDS, MemoryRateLimits
from strongroom.server.limits.rates import By, Route

NOW = 1_800_000_000
RATES = {
    Route.RELEASE: {By.ADDRESS: 30, By.DEVICE: 6, By.USER: 12, By.ACCOUNT: 20},
    Route.RENEW: {By.ADDRESS: 30, By.DEVICE: 6},
}


class Buckets:
    """The fake: a bucket for each caller, with a hole that empties it in a minute; no expiry, no bound."""

    def __init__(self, rates):
        self.rates = rates
        self.levels = {}

    async def allow(self, route, keys, *, now, factor=1.0, paid=False):
        waits, new = [], {}
        for by, name in keys.items():
            number = self.rates.get(route, {}).get(by)
            if number is None:
                continue
            level, at = self.levels.get((route, by, name), (Fraction(0), now))
            level = min(max(level - Fraction(number, 60) * (now - at), Fraction(0)), Fraction(number))
            cost = min(Fraction(1 / factor), Fraction(number)) if factor > 0 else Fraction(number)
            cost -= 1 if paid else 0
            new[route, by, name] = level + cost, now
            waits.append(max(math.ceil((level + cost - number) * 60 / number), 0))
        if not any(waits):
            self.levels |= new
        return max(waits, default=0)


@pytest.fixture(params=[MemoryRateLimits, Buckets])
def limits(request):
    counts = request.param(RATES)

    def ask(route=Route.RELEASE, at=0, factor=1.0, *, paid=False, **keys):
        named = {By(kind): name for kind, name in keys.items()}
        return asyncio.run(counts.allow(route, named, now=NOW + at, factor=factor, paid=paid))

    return ask


def test_as_many_as_a_minutes_come_at_once_and_no_more(limits):
    assert [limits(device="a") for _ in range(6)] == [0] * 6
    assert limits(device="a") == 10


def test_the_seconds_to_wait_are_true(limits):
    """A refused request costs nothing: who waits as told is let in, however often it asked meanwhile."""
    for _ in range(6):
        limits(device="a")
    assert [limits(device="a", at=second) for second in range(1, 10)] == [9, 8, 7, 6, 5, 4, 3, 2, 1]
    assert limits(device="a", at=10) == 0
    assert limits(device="a", at=10) == 10


def test_in_the_long_run_the_rate_holds(limits):
    """Asking every second for an hour: a minute's at once, then the rate."""
    assert sum(limits(device="a", at=second) == 0 for second in range(3600)) == 6 + 359


def test_callers_kinds_and_classes_are_counted_apart(limits):
    for _ in range(6):
        limits(device="a")
    assert limits(device="a")
    assert not limits(device="b")
    assert not limits(user="a")
    assert not limits(Route.RENEW, device="a")


def test_nobody_is_charged_for_what_another_was_refused(limits):
    """An account that has had its share uses up nothing of its devices."""
    for number in range(20):
        assert not limits(account="x", device=f"other {number}")
    assert [limits(account="x", device="a") for _ in range(10)] == [3] * 10
    assert [limits(device="a") for _ in range(6)] == [0] * 6


def test_the_longest_wait_is_told(limits):
    for _ in range(6):
        limits(device="a", user="u", account="x")
    assert limits(device="a", user="u", account="x") == 10


@pytest.mark.parametrize(("factor", "most"), [(0.25, 3), (0.5, 6), (1 / 12, 1), (0.001, 1), (0.0, 1), (-1.0, 1)])
def test_a_factor_slows_and_never_shuts_out(limits, factor, most):
    assert sum(limits(user="u", factor=factor) == 0 for _ in range(20)) == most
    assert sum(limits(user="u", factor=factor, at=60 * minute) == 0 for minute in range(1, 4)) == 3


def test_a_factor_that_is_no_number_is_the_slowest(limits):
    factor = float("nan")
    assert [limits(user="u", factor=factor) > 0 for _ in range(3)] == [False, True, True]


def test_what_was_paid_is_not_paid_twice(limits):
    """Counted at the usual rate before it is known who asks, and for the rest of a quarter's rate after it."""
    assert not limits(user="u")
    assert not limits(user="u", factor=0.25, paid=True)
    assert [limits(user="u") for _ in range(9)] == [0] * 8 + [5]
    assert limits(user="v", factor=1.0, paid=True) == 0
    assert [limits(user="v") for _ in range(13)] == [0] * 12 + [5]


def test_what_has_no_number_has_no_limit(limits):
    assert not any(limits(Route.RENEW, user="u") for _ in range(100))
    assert not any(limits(Route.PUBLIC, address="a") for _ in range(100))


def test_a_clock_set_forward_gives_a_minutes_worth(limits):
    for _ in range(6):
        limits(device="a")
    assert sum(limits(device="a", at=86_400) == 0 for _ in range(20)) == 6


STEPS = st.lists(
    st.tuples(
        st.integers(0, 25),
        st.sampled_from([Route.RELEASE, Route.RENEW]),
        st.dictionaries(st.sampled_from(list(By)), st.sampled_from("ab"), min_size=1),
        st.sampled_from([1.0, 0.5, 0.25]),
    ),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_both_give_the_same_answers(steps):
    """Rates that divide a minute in whole microseconds leave no room for rounding."""
    real, model = MemoryRateLimits(RATES), Buckets(RATES)

    async def story():
        now = NOW
        for later, route, keys, factor in steps:
            now += later
            answers = [await one.allow(route, keys, now=now, factor=factor) for one in (real, model)]
            assert answers[0] == answers[1]

    asyncio.run(story())


def test_a_clock_set_back_keeps_nobody_out_for_longer_than_a_minute():
    """E19: an hour back, by mistake or by an attacker of the time service: the limit holds, and a minute ends it."""
    real = MemoryRateLimits(RATES)

    async def story():
        for _ in range(6):
            await real.allow(Route.RELEASE, {By.DEVICE: "a"}, now=NOW)
        back = NOW - 3600
        waits = [await real.allow(Route.RELEASE, {By.DEVICE: "a"}, now=back + second) for second in range(600)]
        assert waits[:11] == [10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
        assert waits.count(0) == 59
        assert await real.allow(Route.RELEASE, {By.DEVICE: "b"}, now=back) == 0

    asyncio.run(story())


def test_ever_new_addresses_take_no_more_room_than_those_of_a_second():
    """E19: who asks from an address of its own each time fills nothing up: below its rate it is soon forgotten."""
    real = MemoryRateLimits({Route.RELEASE: {By.ADDRESS: 1200}})

    async def story():
        most = 0
        for number in range(200_000):
            assert not await real.allow(Route.RELEASE, {By.ADDRESS: str(number)}, now=NOW + number // 500)
            most = max(most, real.held())
        return most

    assert asyncio.run(story()) <= 1000


def test_when_all_places_are_taken_strangers_wait_and_nobody_is_forgotten():
    """E19: closed for new ones, as the module says, and open again as soon as a place is free."""
    real = MemoryRateLimits({Route.RELEASE: {By.ADDRESS: 6}}, callers=100)

    async def ask(name, at):
        return await real.allow(Route.RELEASE, {By.ADDRESS: str(name)}, now=NOW + at)

    async def story():
        for name in range(100):
            assert [await ask(name, 0) for _ in range(6)] == [0] * 6
        assert [await ask(name, 0) for name in range(100, 200)] == [FULL_SECONDS] * 100
        assert [await ask(name, 1) for name in range(100)] == [9] * 100
        assert await ask("new", 59) == FULL_SECONDS
        assert await ask("new", 60) == 0
        assert real.held() == 1

    asyncio.run(story())
