"""How a device's own token stands: said in good time, and once."""

import json
import logging

import pytest

from rooms.edge.memory_office import DAY, START
from strongroom.canonical import to_base64url
from strongroom.edge.standing import ENDING, OVER, RUNNING, TokenWatch, token_state
from strongroom.edge.state import Identity


def identity(claims: object, end: int = START + 8 * DAY) -> Identity:
    payload = to_base64url(json.dumps(claims).encode())
    return Identity("dev_" + "A" * 22, "acc_" + "B" * 22, f"aaaa.{payload}.aaaa", end)


@pytest.mark.parametrize(
    ("left", "state"),
    [(8 * DAY, RUNNING), (2 * DAY, RUNNING), (2 * DAY - 1, ENDING), (1, ENDING), (0, OVER), (-1, OVER)],
)
def test_a_quarter_of_its_life(left, state):
    """The token says when its life began."""
    mine = identity({"iat": START})
    assert token_state(mine, mine.token_expires - left) == state


@pytest.mark.parametrize("claims", [{}, {"iat": None}, {"iat": "1"}, [], 7, "x"], ids=str)
def test_a_token_that_says_nothing_of_its_life(claims):
    """It is the office's to read; a month is taken for its life then, and no error comes of it."""
    mine = identity(claims)
    assert token_state(mine, mine.token_expires - 30 * DAY // 4) == RUNNING
    assert token_state(mine, mine.token_expires - 30 * DAY // 4 + 1) == ENDING
    assert token_state(Identity(mine.id, mine.account, "no.token", 1000), 999) == ENDING


def test_each_token_is_warned_of_once(caplog):
    watch, mine = TokenWatch(), identity({"iat": START})
    with caplog.at_level(logging.WARNING):
        watch.look(None, START)
        watch.look(mine, START)
        assert caplog.messages == []
        for now in (START + 7 * DAY, START + 7 * DAY, START + 9 * DAY):
            watch.look(mine, now)
        assert caplog.messages == [
            "this device's own token ends at 2027-01-23T08:00:00Z: enrol it again with a user's token"
        ]
        watch.look(identity({"iat": START + 1}), START + 9 * DAY)
    assert len(caplog.messages) == 2
    assert "over since 2027-01-23T08:00:00Z" in caplog.messages[1]
    assert mine.token not in caplog.text


def test_a_token_that_nobody_can_date(caplog):
    """A life from before the first day to after the last one: warned of, and no error comes of it."""
    with caplog.at_level(logging.WARNING):
        TokenWatch().look(identity({"iat": -(2**60)}, end=2**53 - 1), START)
    assert len(caplog.messages) == 1


def test_a_room_warns_whatever_it_is_used_for(device, office, caplog):
    """Once a room: pulling, renewing and opening all look; the token here lasts a day."""
    claims = to_base64url(json.dumps({"iat": office.now}).encode())
    office.device_token = f"aaaa.{claims}.aaaa"
    device.room().pull("digits")
    device.later(DAY - 3600)
    with caplog.at_level(logging.WARNING, logger="strongroom.edge.standing"):
        room = device.room(token=None)
        for _ in range(2):
            with room.load("digits", offline="only"):
                pass
        room.pull("digits")
    assert len([one for one in caplog.messages if "own token ends" in one]) == 1
