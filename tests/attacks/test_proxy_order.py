"""G08, B01, B02, B21: a proxy drops, doubles, delays, holds back and replays each message of each exchange in turn.

Afterwards the device has the old state or the new one, whole; the office's books agree with themselves; and the same
thing asked again on an honest line succeeds.
"""

import os
from collections import Counter

import pytest

from attacks.proxying import Scene, Sent, check_whole, remembered
from strongroom.edge import links
from strongroom.errors import Code, StrongroomError, UnreachableError
from strongroom.transport import Response
from strongroom_in_memory import Street


def lost() -> UnreachableError:
    return UnreachableError(Code.UNREACHABLE, "the connection broke")


def drop_request(scene, sent, on):
    raise lost()


def drop_answer(scene, sent, on):
    on(sent)
    raise lost()


def double_first(scene, sent, on):
    answer = on(sent)
    on(sent)
    return answer


def double_second(scene, sent, on):
    on(sent)
    return on(sent)


def delay_request(seconds):
    def late(scene, sent, on):
        scene.street.clock.advance(seconds)
        return on(sent)

    return late


def delay_answer(seconds):
    def late(scene, sent, on):
        answer = on(sent)
        scene.street.clock.advance(seconds)
        return answer

    return late


def replay_old_answer(scene, sent, on):
    """The request never arrives; the device is given the answer to the one before it."""
    old = [answer for before, answer in scene.recorded if before.kind == sent.kind]
    return old[-1] if old else on(sent)


def replay_old_request(scene, sent, on):
    """The office is given the request before this one instead."""
    old = [before for before, _ in scene.recorded if before.kind == sent.kind and sent.method == "POST"]
    return on(old[-1]) if old else on(sent)


def hold_back(scene, sent, on):
    """Kept by the proxy, who delivers it when the device has asked again."""
    scene.held.append(sent)
    raise lost()


MISCHIEF = {
    "request dropped": drop_request,
    "answer dropped": drop_answer,
    "doubled, first answer": double_first,
    "doubled, second answer": double_second,
    "request 30 s late": delay_request(30),
    "request 61 s late": delay_request(61),
    "answer 30 s late": delay_answer(30),
    "answer half an hour late": delay_answer(1800),
    "old answer": replay_old_answer,
    "old request": replay_old_request,
    "held back": hold_back,
}


def enrol(room, scene):
    room.enrol(scene.token)


def pull(room, scene):
    room.pull("digits")


def renew(room, scene):
    room.renew("digits")


def obey(room, scene):
    try:
        room.renew("digits")
    except StrongroomError as error:
        if error.code not in {Code.WIPED, Code.NOT_INSTALLED}:
            raise
        room.renew("letters")  # a receipt that was not sent is sent now


def ready(scene, act):
    """Bring the phone to just before, having done the same once, so that there is something old to replay."""
    phone = scene.phone
    for model in ("letters", "digits", "digits"):  # so that the last answer says "you have the newest"
        phone.pull(model)
    phone.enrol(scene.token)
    phone.renew("digits")
    scene.recorded = list(scene.proxy.seen)
    scene.street.clock.advance(3600)
    scene.token = str(scene.street.admin.post("tokens", value={"user": "alice"})["token"])
    scene.publish("digits", "1.1")
    if act is obey:
        scene.street.admin.post("orders", value={"device": phone.identity.id, "model": "digits"})


def check_done(scene, act):
    """What was wanted is so, on the device and in the books."""
    room, tables = scene.phone, scene.street.ledger.tables
    state = room.store.need()
    assert room.identity.id in {row.id for row in tables.devices}
    if act is pull:
        assert {(one.model, one.version) for one in state.installs} == {("digits", "1.1"), ("letters", "1.0")}
    elif act is obey:
        assert {one.model for one in state.installs} == {"letters"}
        assert [one.sent for one in state.tombstones] == [True]
        assert [row.outcome for row in tables.orders] == ["wiped"]
    elif act is renew:
        assert max(row.lease_expires for row in tables.releases) >= scene.street.clock() + 7 * 86_400 - 1800


@pytest.fixture
def scene(tmp_path, monkeypatch):
    monkeypatch.setattr(links, "PAUSE", 0)
    monkeypatch.setattr(os, "fsync", lambda _: None)  # nobody cuts the power here
    with Street(tmp_path, patient=True) as street:
        yield Scene(street)


@pytest.mark.slow
@pytest.mark.parametrize("act", [enrol, pull, renew, obey], ids=lambda act: act.__name__)
def test_each_message_in_turn(scene, act, capsys):
    """G08, B01, B02, B21: whatever is done to one message, nothing wrong comes of it, and asking again succeeds."""
    ready(scene, act)
    scene.save()
    now = scene.street.clock.now
    scene.proxy.seen.clear()
    act(scene.phone, scene)
    count = len(scene.proxy.seen)
    outcomes: Counter[str] = Counter()
    for index in range(count):
        for name, mischief in MISCHIEF.items():
            scene.back()
            scene.street.clock.now = now
            outcomes[attempt(scene, act, index, name, mischief)] += 1
    with capsys.disabled():
        print(f"\n{act.__name__}: {count} messages, {dict(outcomes)}")  # noqa: T201 - the counts are for whoever reads the log
    assert count >= 3
    assert sum(outcomes.values()) == count * len(MISCHIEF)
    assert outcomes["refused"] > 0
    assert outcomes["went on"] > 0


def attempt(scene, act, index, name, mischief):
    """Do one thing to one message, look at both sides, and ask again."""
    passed, scene.held = [], []

    def carry(sent: Sent, on) -> Response:
        passed.append(sent)
        return mischief(scene, sent, on) if len(passed) == index + 1 else on(sent)

    scene.proxy.carry = carry
    before = remembered(scene.phone)
    code = None
    try:
        act(scene.phone, scene)
    except StrongroomError as error:
        code = error.code
    assert code not in {Code.INTERNAL, Code.STORE_DAMAGED}, name
    outcome = "refused" if code else "went on"
    scene.honest()
    if outcome == "refused" and act is not obey:
        assert remembered(scene.phone) == before, (name, index)
    granted = len(scene.books()["leases"])
    if outcome == "went on" and act is not obey:
        check_done(scene, act)
    check_whole(scene.phone, scene.street.folder / "phone")
    act(scene.phone, scene)
    for sent in scene.held:  # what was held back arrives after all
        answer = scene.proxy.deliver(sent)
        assert answer.status < 500, name
    check_done(scene, act)
    assert len(scene.books()["leases"]) <= granted + 1 + len(scene.held), name
    return outcome
