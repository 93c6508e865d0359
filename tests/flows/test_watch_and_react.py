"""The loop, in memory: a fact, a refusal, a signed order, a wiped device, a receipt, and an operator who sees it all.

Read test_lease_and_wipe.py first (R83-R93; docs/spec/protocol.md section 18).
"""

import contextlib
import dataclasses
import json
import os

import pytest

import strongroom
from fakes_watch import WatchMemory
from strongroom.edge.opening import device_key as key_of
from strongroom.edge.signals import Teller
from strongroom.edge.tamper.looking import Facts
from strongroom.errors import Code, InputError, RefusedError, StoreError
from strongroom.risk.defaults import default_text
from strongroom.risk.rules_file import read_rules
from strongroom.server.identify import Visit
from strongroom.server.traps import hits
from strongroom.server.watch import RulesInForce, Watch
from strongroom.server.watch_ports import DecoyRow
from strongroom.server.watching import appealing, explaining, judging, restoring
from strongroom.server.watching.reloading import reload_rules
from strongroom.wire import dpop
from strongroom.wire.appeal import AppealRequest
from strongroom_in_memory import DEVICES, Street, Wire
from watched_offices import bent, watching

WEIGHTS = os.urandom(200_000)
HOUR, DAY = 3600, 86_400


@pytest.fixture
def street(tmp_path):
    with Street(tmp_path) as street:
        publish(street, "digits")
        yield street


def publish(street, *names):
    for name in names:
        with strongroom.protect(
            WEIGHTS,
            name=name,
            version="1.0",
            out=street.folder / f"{name}.srm",
            sign_with=street.owners,
            office=street.admin,
        ) as protected:
            protected.publish(channel="stable")


def audit(street):
    return [row.event for row in street.ledger.tables.audit]


def of(street, name):
    return [row for row in street.ledger.tables.audit if row.event == name]


def visit(street):
    return Visit(street.clock(), "ref_of_the_desk", "POST", f"{DEVICES}/v1/releases")


def touch_decoy(street, room):
    """Do what a decoy endpoint does once it knows who calls."""
    device = next(row for row in street.ledger.tables.devices if row.id == room.identity.id)
    return street.do(judging.trapped(street.office, device, None, "dcy_test", visit(street)))


def operator(street):
    return street.ledger.tables.operators[0]


def restore(street, kind, name):
    desk = operator(street)
    return street.do(restoring.restore(street.office, desk, kind, name, "it was our own test", visit(street)))


def token(street, user):
    return str(street.admin.post("tokens", value={"user": user, "seconds": DAY})["token"])


def opens(room, name="digits"):
    with room.load(name) as model:
        return model.bytes() == WEIGHTS


def refused(work, *args):
    with pytest.raises(RefusedError) as error:
        work(*args)
    return error.value.code


def test_a_decoy_is_touched_and_everything_follows(street):
    """B26, H03: refused, told to wipe in the same contact, wiped, reported; the operator sees it and forgives."""
    phone = street.device("phone", street.customer("alice", "digits"))
    phone.pull("digits")
    other = street.device("other", street.customer("bob", "digits"))
    other.pull("digits")
    street.clock.advance(DAY)

    weighed = touch_decoy(street, phone)
    assert weighed.restricted
    (order,) = street.ledger.tables.orders
    assert (order.device, order.operator, order.fetched) == (phone.identity.id, "risk", None)

    assert refused(phone.pull, "digits") == Code.WIPED  # refused, and the renewal it made brought the order
    (order,) = street.ledger.tables.orders
    assert (order.outcome, order.reported) == ("wiped", street.clock.now)
    assert [*(street.folder / "phone").glob("models/*")] == []
    told = audit(street)
    steps = ["risk.band-changed", "user.stopped", "device.stopped", "wipe.ordered", "wipe.fetched", "wipe.reported"]
    assert [one for one in told if one in steps][-6:] != []
    assert {*steps} <= {*told}
    (stopped,) = of(street, "device.stopped")
    assert stopped.subject == phone.identity.id
    assert stopped.detail["rules"].startswith("decoy")
    assert stopped.detail["policy_version"] == street.office.watch.rules.version
    assert any(json.loads(row.body)["type"] == "risk.stopped" for row in street.ledger.tables.watch.alerts.values())
    assert opens(other)  # nobody else minds

    said = street.do(explaining.explain(street.office, operator(street), phone.identity.id, visit(street)))
    assert said.decision["band"] == "stop"
    assert "a decoy was used" in said.text
    assert refused(phone.pull, "digits") == Code.RESTRICTED

    done = restore(street, "user", "alice")
    assert done.state == "active"
    assert phone.pull("digits").fetched
    assert opens(phone)


def test_a_stopped_user_s_other_devices_hear_of_it_when_they_renew(street):
    """R92: they held nothing against it themselves; their order is made as they ask."""
    token = street.customer("alice", "digits")
    phone, tablet = street.device("phone", token), street.device("tablet", token)
    for room in (phone, tablet):
        room.pull("digits")
    street.clock.advance(60)
    touch_decoy(street, phone)
    assert len(street.ledger.tables.orders) == 1
    assert refused(tablet.renew, "digits") == Code.WIPED
    assert {order.device for order in street.ledger.tables.orders} == {phone.identity.id, tablet.identity.id}
    with pytest.raises(RefusedError) as error:
        street.device("third", token)
    assert error.value.code == Code.RESTRICTED


def test_an_order_that_nobody_fetched_is_withdrawn_with_the_stop(street):
    """R93: an honest device that is forgiven in time loses nothing."""
    phone = street.device("phone", street.customer("alice", "digits"))
    phone.pull("digits")
    touch_decoy(street, phone)
    done = restore(street, "user", "alice")
    assert len(done.withdrawn) == 1
    assert phone.renew("digits").lease_expires > street.clock.now
    assert opens(phone)


def tells(room, *tamper, app_sig="unknown"):
    room._teller = Teller(look=lambda: Facts(tamper=tamper, app_sig=app_sig))  # the test is the app


def test_a_changed_app_is_told_to_wipe_in_the_answer_to_its_own_renewal(street):
    """R89: judged before orders are looked at, so it hears of them at once."""
    phone = street.device("phone", street.customer("alice", "digits"))
    phone.pull("digits")
    street.clock.advance(HOUR)
    tells(phone, app_sig="bad")
    assert refused(phone.renew, "digits") == Code.WIPED
    assert of(street, "user.stopped") == []  # one device's app, and not its user


def test_a_debugger_alone_asks_the_user_to_sign_in_again(street):
    """R91: medium: sign in again before keys, a short lease meanwhile; the sign-in clears it."""
    phone = street.device("phone", street.customer("alice", "digits"))
    phone.pull("digits")
    before = token(street, "alice")
    street.clock.advance(HOUR)
    tells(phone, "debugger")
    renewed = phone.renew("digits")
    assert renewed.lease_expires == street.clock.now + HOUR
    assert {"short-lease", "slow-down", "sign-in-again"} <= {*renewed.reactions}
    assert street.office.watch.sleep.seconds
    assert all(2 <= one <= 10 for one in street.office.watch.sleep.seconds)
    assert refused(lambda: phone.pull("digits", fresh=True)) == Code.STEP_UP
    street.clock.advance(60)
    assert refused(phone.enrol, before) == Code.STEP_UP
    phone.enrol(token(street, "alice"))
    assert "risk.stepped-up" in audit(street)
    tells(phone)
    street.clock.advance(60)
    again = phone.pull("digits", fresh=True)
    assert again.reactions == ()
    assert again.lease_expires > street.clock.now + DAY


def test_a_thief_s_device_is_stopped_and_the_victim_s_goes_on(street):
    """R93: a stolen sign-in on a strange machine that asks for everything; whom it was stolen from notices nothing."""
    names = [f"model{number}" for number in range(8)]
    publish(street, *names)
    victim = street.device("victim", street.customer("alice", "digits", *names))
    victim.pull("digits")
    for _ in range(12):  # days of an ordinary life
        street.clock.advance(DAY)
        victim.renew("digits")
    thief = street.device("thief", token(street, "alice"), Elsewhere(street))
    codes = [grabbed(thief, name) for name in names]
    assert Code.RESTRICTED in codes or Code.WIPED in codes or Code.STEP_UP in codes
    assert codes.count("got") <= 4
    assert {row.subject for row in of(street, "device.stopped")} <= {thief.identity.id}
    assert of(street, "user.stopped") == []
    street.clock.advance(HOUR)
    victim.renew("digits")
    assert opens(victim)


class Elsewhere(Wire):
    """A line from another network."""

    def __init__(self, street):
        super().__init__(street, DEVICES)

    def request(self, method, path_or_url, *, body=b"", headers=None, limit):
        with street_address(self.street, "198.51.100.77"):
            return super().request(method, path_or_url, body=body, headers=headers, limit=limit)


@contextlib.contextmanager
def street_address(street, address):
    """Let the next requests come from an address: the transport of tests knows one peer only."""
    transport = street._clients[DEVICES]._transport  # httpx has no other way to it
    before, transport.client = transport.client, (address, 40_000)
    try:
        yield
    finally:
        transport.client = before


def grabbed(room, name):
    try:
        room.pull(name)
    except RefusedError as error:
        return error.code
    return "got"


def test_an_engine_that_fails_is_medium_and_never_open_and_never_a_stop(street):
    """R91: states that cannot be read: keys only after a sign-in of today, and nobody loses anything."""
    phone = street.device("phone", street.customer("alice", "digits"))
    phone.pull("digits")
    states = street.ledger.tables.watch.risk_states
    street.clock.advance(2 * DAY)
    for entity, row in [*states.items()]:
        states[entity] = dataclasses.replace(row, state=b"\xff")
    assert refused(lambda: phone.pull("digits", fresh=True)) == Code.STEP_UP
    renewed = phone.renew("digits")
    assert "short-lease" in renewed.reactions
    assert len(of(street, "risk.failed")) == 1  # one a minute
    assert [row for row in audit(street) if row in ("device.stopped", "wipe.ordered")] == []
    street.clock.advance(60)
    phone.enrol(token(street, "alice"))
    assert phone.pull("digits", fresh=True).fetched
    assert len(of(street, "risk.failed")) == 2
    assert any(json.loads(row.body)["type"] == "risk.failed" for row in street.ledger.tables.watch.alerts.values())


def test_too_many_at_once_freezes_at_medium(tmp_path):
    """R92: rules that suddenly hit everybody are wrong: nobody is stopped by a score any more, and somebody is told."""
    rules = bent(
        ('when = "hard_tamper > 0 and allow_tamper == 0"\nweight = 35', 'when = "hard_tamper > 0"\nweight = 80'),
        ("cap = 76", "cap = 90"),
        ("least = 20", "least = 3"),
        ('step_up = "authenticate"\n', ""),
    )
    with Street(tmp_path, watch=watching(rules)) as street:
        publish(street, "digits")
        rooms = [street.device(f"phone{at}", street.customer(f"user{at}", "digits")) for at in range(8)]
        for room in rooms:
            room.pull("digits")
        street.clock.advance(HOUR)
        for room in rooms:
            tells(room, "hook")
            with contextlib.suppress(RefusedError):
                room.renew("digits")
        stopped = {row.subject for row in of(street, "device.stopped")}
        assert 1 <= len(stopped) <= 4
        assert len({order.device for order in street.ledger.tables.orders}) == len(stopped)
        assert len(of(street, "risk.frozen")) == 1
        assert any(json.loads(row.body)["type"] == "risk.frozen" for row in street.ledger.tables.watch.alerts.values())
        touch_decoy(street, rooms[-1])  # a fact about one device passes the breaker
        assert rooms[-1].identity.id in {row.subject for row in of(street, "device.stopped")}


def test_a_stopped_device_appeals_and_a_person_decides(street):
    """R93: it can say why, three times a day; nothing changes before somebody has read it."""
    phone = street.device("phone", street.customer("alice", "digits"))
    phone.pull("digits")
    assert appeal(street, phone, "let me in").status == 409  # it is not stopped
    touch_decoy(street, phone)
    answers = [appeal(street, phone, f"it was my child, {number}") for number in range(4)]
    assert [answer.status for answer in answers] == [201, 201, 201, 429]
    desk = operator(street)
    waiting = street.do(appealing.appeals(street.office, desk, visit(street)))
    assert {row.text for row in waiting} == {f"it was my child, {number}" for number in range(3)}
    first = waiting[0]
    assert refused(lambda: phone.pull("digits", fresh=True)) in (Code.RESTRICTED, Code.WIPED)
    decide = appealing.decide_appeal(
        street.office, desk, first.id, restored=True, why="a child, then", visit=visit(street)
    )
    assert street.do(decide).outcome == "restored"
    assert street.do(appealing.appeals(street.office, desk, visit(street))) == []
    assert phone.pull("digits").fetched


def test_an_appeal_is_told_without_a_word_of_the_appellant_s(street):
    """R93: somebody hears of it, once an hour for a device, and reads it where it is shown with care."""
    one, other = (street.device(name, street.customer(name, "digits")) for name in ("alice", "bob"))
    for phone in (one, other):
        touch_decoy(street, phone)
    street.clock.advance(HOUR - street.clock() % HOUR)
    hostile = "<!channel> \x1b[2J\n@oncall https://evil.example/?q=ref_evil"
    for phone in (one, one, other):
        assert appeal(street, phone, hostile, "ref_evil").status == 201
    first, second = told_of(street, "appeal.made")
    assert [row["data"].pop("device") for row in (first, second)] == [one.identity.id, other.identity.id]
    waiting = street.do(appealing.appeals(street.office, operator(street), visit(street)))
    named = first["data"].pop("appeal")
    (row,) = [row for row in waiting if row.id == named]
    assert (row.device, row.user) == (one.identity.id, first["data"].pop("user"))
    assert first["data"].pop("reference") == of(street, "appeal.made")[0].detail["reference"]
    assert first["data"] == {"next": "strongroom risk appeals"}
    assert "evil" not in repr((first, second))
    street.clock.advance(HOUR)
    assert appeal(street, one, "again", "ref_evil").status == 201
    assert len(told_of(street, "appeal.made")) == 3


def test_no_appeal_is_kept_of_which_nobody_is_told(street, monkeypatch):
    """R93: alert and appeal are one transaction; what the device was told holds."""
    phone = street.device("phone", street.customer("alice", "digits"))
    touch_decoy(street, phone)

    async def full(*_):
        raise StoreError(Code.DATABASE, "the disk is full")

    with monkeypatch.context() as failing:
        failing.setattr(WatchMemory, "add_alert", full)
        assert appeal(street, phone, "let me in").status == 503
    assert street.do(appealing.appeals(street.office, operator(street), visit(street))) == []
    assert of(street, "appeal.made") == []
    assert appeal(street, phone, "let me in").status == 201


def told_of(street, kind):
    rows = street.ledger.tables.watch.alerts.values()
    return [told for row in sorted(rows, key=lambda row: row.at) if (told := json.loads(row.body))["type"] == kind]


@pytest.mark.parametrize("way", ["device", "user", "appeal"])
def test_what_follows_a_restore_is_told_within_the_same_hour(street, way):
    """R93: the first touch after "a false alarm" is an alert again; without a restore they are one an hour."""
    phone, other = (street.device(name, street.customer(name, "digits")) for name in ("alice", "bob"))
    street.clock.advance(HOUR - street.clock() % HOUR)

    def told():
        about = {phone.identity.id: 0, other.identity.id: 0}
        for row in told_of(street, "decoy.hit"):
            about[row["data"]["device"]] += 1
        assert {row["data"]["device"] for row in told_of(street, "risk.stopped")} <= {*about}
        return [*about.values()], len(told_of(street, "risk.stopped"))

    for room in (phone, phone, other, other):
        hit_decoy(street, room)
        street.clock.advance(60)
    assert told() == ([1, 1], 2)
    raised = len(told_of(street, "risk.raised"))
    if way == "appeal":
        assert appeal(street, phone, "my child").status == 201
        desk = operator(street)
        (row,) = street.do(appealing.appeals(street.office, desk, visit(street)))
        work = appealing.decide_appeal(street.office, desk, row.id, restored=True, why="ours", visit=visit(street))
        assert street.do(work).outcome == "restored"
    else:
        restore(street, way, phone.identity.id if way == "device" else "alice")
    for room in (phone, other, phone):
        hit_decoy(street, room)
    assert told() == ([2, 1], 3)
    again = {row["data"]["name"] for row in told_of(street, "risk.raised")[raised:]}
    assert again == {phone.identity.id} | (set() if way == "device" else {user_of(street, phone)})
    if way == "appeal":
        assert appeal(street, phone, "my child again").status == 201
        assert len(told_of(street, "appeal.made")) == 2


def user_of(street, room):
    return next(row.user for row in street.ledger.tables.devices if row.id == room.identity.id)


def hit_decoy(street, room):
    """Touch a decoy with a device, and let all follow that follows it: the stop, audit rows, alerts."""
    device = next(row for row in street.ledger.tables.devices if row.id == room.identity.id)
    decoy = DecoyRow("dcy_test", "endpoint", "/v1/export", "sdk", bytes(32), 0, operator(street).id, "active")
    street.ledger.tables.watch.decoys.setdefault(decoy.id, decoy)
    user = next(row for row in street.ledger.tables.users if row.id == device.user)
    street.do(hits.hit(street.office, decoy, device, user, visit(street)))


def test_a_user_appeals_through_the_library(street):
    """R93: with the reference of the refusal; what no appeal can be is said before it is sent."""
    phone = street.device("phone", street.customer("alice", "digits"))
    phone.pull("digits")
    with pytest.raises(InputError) as caught:
        phone.appeal("ref_1", "nobody has stopped me")
    assert caught.value.code == Code.CONFLICT
    touch_decoy(street, phone)
    with pytest.raises(RefusedError) as stopped:
        phone.pull("digits", fresh=True)
    for reference, text in (("", "why"), ("no reference", "why"), ("ref_1", ""), ("ref_1", "x" * 501)):
        with pytest.raises(InputError) as caught:
            phone.appeal(reference, text)
        assert caught.value.code == Code.ARGUMENT
    made = phone.appeal(stopped.value.reference, "it was my child")
    (row,) = street.do(appealing.appeals(street.office, operator(street), visit(street)))
    assert (row.id, row.reference, row.text) == (made, stopped.value.reference, "it was my child")
    assert [one.detail["appeal"] for one in of(street, "appeal.made")] == [made]


def appeal(street, room, text, reference="ref_1"):
    line = Wire(street, DEVICES)
    body = AppealRequest(reference, text).to_bytes()
    key, bearer = key_of(room.store), room.identity.token
    proof = dpop.make(key, "POST", f"{DEVICES}/v1/appeals", bearer, street.clock(), os.urandom(16))
    headers = {"Authorization": f"DPoP {bearer}", "DPoP": proof, "Content-Type": "application/json"}
    return line.request("POST", "/v1/appeals", body=body, headers=headers, limit=65_536)


def test_rules_are_read_again_and_wrong_ones_never_count(tmp_path):
    """R91: a misspelt word is refused with file, line and the word that is meant; the rules from before stay."""
    path = tmp_path / "risk.toml"
    path.write_text(default_text(), "utf-8")

    def read():
        return read_rules(path.read_text("utf-8"), str(path))

    with Street(tmp_path, watch=Watch(RulesInForce(read(), read, str(path)))) as street:
        before = street.office.watch.rules.version
        path.write_text(default_text().replace("devices_30d > allow_devices", "device_30d > allow_devices"), "utf-8")
        assert not street.do(reload_rules(street.office))
        assert street.office.watch.rules.version == before
        (said,) = of(street, "risk.reload-refused")
        assert f"{path} line" in said.detail["where"]
        assert "devices_30d" in said.detail["next"]
        path.write_text(default_text().replace("medium = 30", "medium = 31"), "utf-8")
        assert street.do(reload_rules(street.office))
        assert street.office.watch.rules.version != before
        assert street.office.watch.rules.bands.medium == 31


def test_a_deceived_thief_gets_the_decoy_and_no_sign_of_it(tmp_path):
    """H04: with `deceive`, the twin's keys instead of a refusal: no stop, no order, no word; only the audit log."""
    rules = bent(("[reactions.stop]\nrefuse = true", "[reactions.stop]\nrefuse = true\ndeceive = true"))
    with Street(tmp_path, watch=watching(rules)) as street:
        publish(street, "digits")
        decoy = os.urandom(len(WEIGHTS))
        place = street.admin.place_of("digits", "1.0")
        with strongroom.protect(
            decoy,
            name="digits",
            version="1.0",
            out=tmp_path / "decoy.srm",
            sign_with=street.owners,
            office=street.admin,
            epoch=place.epoch,
            counter=place.counter,
        ) as protected:
            protected.publish(twin=True)
        holder, thief = (street.device(name, street.customer(name, "digits")) for name in ("holder", "thief"))
        holder.pull("digits")
        for room in (holder, thief):
            tells(room, app_sig="bad")
        done = thief.pull("digits")
        assert done.reactions == ()
        with thief.load("digits") as model:
            assert model.bytes() == decoy
        street.clock.advance(HOUR)
        assert thief.renew("digits").lease_expires > street.clock.now + DAY
        assert street.ledger.tables.orders == []
        assert of(street, "device.stopped") == []
        assert len(of(street, "risk.deceived")) == 2
        assert refused(holder.renew, "digits") == Code.WIPED  # what is real goes: deceiving it would leave it there
        assert {row.subject for row in of(street, "device.stopped")} == {holder.identity.id}
