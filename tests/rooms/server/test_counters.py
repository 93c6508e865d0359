"""The counter in this process."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from strongroom.server.counters.memory import MemoryCounters


def _once(counters, key, expires, now, made=None):
    return asyncio.run(counters.once(key, made=now if made is None else made, expires=expires, now=now))


def test_a_key_is_new_once_until_it_expires():
    counters = MemoryCounters()
    assert _once(counters, "a", 10, 0)
    assert not _once(counters, "a", 10, 9)
    assert _once(counters, "b", 10, 9)
    assert _once(counters, "a", 20, 10)


def test_when_full_it_refuses_rather_than_forgets():
    """A replay must not become possible by flooding the server with fresh proofs."""
    counters = MemoryCounters(limit=2)
    assert _once(counters, "a", 10, 0)
    assert _once(counters, "b", 20, 0)
    assert not _once(counters, "c", 10, 0)
    assert not _once(counters, "a", 10, 0)
    assert _once(counters, "c", 30, 10)


def test_what_was_made_before_the_start_may_have_been_seen():
    """A process that just started knows nothing of the proofs that were used with the one before it."""
    counters = MemoryCounters(started=100)
    assert not _once(counters, "a", 160, 101, made=99)
    assert _once(counters, "a", 161, 101, made=100)
    assert not _once(counters, "a", 161, 101, made=100)


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 5), st.integers(0, 2)), max_size=60))
def test_it_agrees_with_a_plain_dictionary(steps):
    counters, model, now = MemoryCounters(), {}, 0
    for key, life, pause in steps:
        now += pause
        new = model.get(key, 0) <= now
        assert _once(counters, key, now + life, now) == new
        if new:
            model[key] = now + life
