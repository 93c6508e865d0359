"""The circuit breaker: when it opens, when it closes, and that kinds do not mix."""

import pytest

from strongroom.server.attestation.breaker import LEAST, WINDOW, Breaker

NOW = 1_800_000_000


def fed(breaker: Breaker, good: int, bad: int, at: int = NOW, kind: str = "tpm") -> list[bool]:
    """Count verdicts, the good ones first; return where it changed."""
    return [breaker.note(kind, at, failed=failed).changed for failed in [False] * good + [True] * bad]


@pytest.mark.parametrize(
    ("good", "bad", "opens"), [(0, 19, 0), (0, 20, 1), (18, 1, 0), (18, 2, 1), (19, 1, 0), (190, 10, 0), (189, 11, 1)]
)
def test_it_opens_beyond_five_in_a_hundred_of_twenty_or_more(good: int, bad: int, opens: int) -> None:
    breaker = Breaker()
    changes = fed(breaker, good, bad)
    assert sum(changes) == opens
    last = breaker.note("tpm", NOW, failed=False)
    assert (last.verdicts, last.failed) == (good + bad + 1, bad)


def test_old_verdicts_are_forgotten() -> None:
    breaker = Breaker()
    assert sum(fed(breaker, 0, LEAST)) == 1
    held = breaker.note("tpm", NOW + WINDOW - 1, failed=False)
    assert (held.open, held.changed, held.verdicts) == (True, False, LEAST + 1)
    over = breaker.note("tpm", NOW + WINDOW, failed=False)
    assert (over.open, over.changed, over.verdicts, over.failed) == (False, True, 2, 0)


def test_many_good_ones_close_it() -> None:
    breaker = Breaker()
    assert fed(breaker, 0, LEAST)[-1]
    changes = fed(breaker, 20 * LEAST - LEAST, 0)
    assert changes[-1]
    assert sum(changes) == 1


def test_each_kind_counts_for_itself() -> None:
    breaker = Breaker()
    fed(breaker, 0, LEAST, kind="play")
    assert breaker.note("tpm", NOW, failed=True) == breaker.note("app-attest", NOW, failed=True)
    assert breaker.note("play", NOW, failed=True).open


def test_a_clock_that_goes_back_opens_and_forgets_nothing() -> None:
    breaker = Breaker()
    fed(breaker, 10, 0)
    back = breaker.note("tpm", NOW - 5 * WINDOW, failed=False)
    assert (back.open, back.verdicts) == (False, 11)
    assert breaker.note("tpm", NOW + WINDOW, failed=False).verdicts == 1


def test_it_keeps_a_count_a_second_however_many_come() -> None:
    """Whoever sends without end fills no memory."""
    breaker = Breaker()
    for second in range(2 * WINDOW):
        fed(breaker, 3, 0, at=NOW + second)
    assert len(breaker._kinds["tpm"].seconds) == WINDOW
