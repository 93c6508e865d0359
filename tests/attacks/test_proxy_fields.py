"""G06: a proxy that has broken TLS strips or edits each field of each message in turn (protocol.md section 4).

Each edit is refused with a typed error, or has no effect: device and office are as if it had not been made. Which
fields may be edited without effect is written down here, each with its reason.
"""

import json
import os
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import pytest

from attacks.proxying import Proxy, Scene, Sent, check_whole, edits, remembered, render
from strongroom.edge import client, links
from strongroom.errors import Code, RefusedError, StrongroomError, UnreachableError
from strongroom.shapes import Array, Nullable
from strongroom.transport import Response
from strongroom.wire import trust as trust_file
from strongroom.wire.messages import (
    ChallengeAnswer,
    ChallengeRequest,
    EnrolAnswer,
    EnrolRequest,
    Grant,
    Lease,
    Message,
    Record,
    ReleaseAnswer,
    ReleaseRequest,
    TrustAnswer,
    UrlsAnswer,
    UrlsRequest,
)
from strongroom.wire.orders import Order, Receipt, ReceiptAnswer, ReceiptRequest
from strongroom.wire.renewal import Renewal, RenewAnswer, RenewRequest
from strongroom_in_memory import Street

EXPIRED = render({"code": "url-expired", "status": 403, "title": "over", "type": "urn:strongroom:problem:url-expired"})
PER_FIELD = 3  # at least: removed, retyped, written twice


@pytest.fixture
def scene(tmp_path, monkeypatch):
    monkeypatch.setattr(links, "PAUSE", 0)
    monkeypatch.setattr(os, "fsync", lambda _: None)  # nobody cuts the power here
    with Street(tmp_path, patient=True) as street:
        yield Scene(street)


def fields_of(message: type[Message]) -> int:
    """Count the fields of a message's shape, those of nested messages too; arrays count once."""
    total = 0
    for shape in message.SHAPE.fields.values():
        inner = shape
        while isinstance(inner, (Array, Nullable)):
            inner = inner.of
        total += 1 + (fields_of(inner.of) if isinstance(inner, Record) and hasattr(inner.of, "SHAPE") else 0)
    return total


@dataclass
class Play:
    """One message, what brings it about, and what the proxy may edit in it without effect.

    `ready` brings the scene to just before; `act` makes the phone send it; `harmless` maps patterns of "kind place" to
    the reason why such an edit may pass; `granted` is how many releases come before it; `after` checks what passed.
    """

    kind: str
    side: str
    messages: tuple[type[Message], ...]
    ready: Callable[[Scene], None]
    act: Callable[[Scene], object]
    harmless: dict[str, str]
    granted: int = 0
    after: Callable[[Scene], None] = lambda _: None


def fresh(scene: Scene) -> None:
    """The phone holds digits 1.0, and 1.1 is to be had."""
    scene.phone.pull("digits")
    scene.publish("digits", "1.1")
    scene.tablet.pull("digits", fresh=True)


def links_over(scene: Scene) -> None:
    """As `fresh`, and the first link of each download is over, so that others are asked for."""
    over_once(scene.other)
    fresh(scene)
    scene.other.on_answer = lambda _, answer: answer


def over_once(proxy: Proxy) -> None:
    """Let the first range of a download be refused as one whose link is over."""
    used = []

    def answer(sent: Sent, given: Response) -> Response:
        if sent.kind == "/o" and not used:
            used.append(sent)
            return Response(403, {}, EXPIRED)
        if sent.kind == "/v1/releases":
            used.clear()
        return given

    proxy.on_answer = answer


def held(scene: Scene) -> None:
    """The phone holds digits, and time has passed."""
    scene.phone.pull("digits")
    scene.street.clock.advance(3600)


def ordered(scene: Scene) -> None:
    """As `held`, and an order to wipe digits waits for phone and tablet."""
    held(scene)
    for room in (scene.phone, scene.tablet):
        scene.street.admin.post("orders", value={"device": room.identity.id, "model": "digits"})
    wiped(scene.tablet)


def pull(scene: Scene) -> None:
    scene.phone.pull("digits")


def enrol(scene: Scene) -> None:
    scene.phone.enrol(scene.token)


def renew(scene: Scene) -> None:
    scene.phone.renew("digits")


def report(scene: Scene) -> None:
    """Renew something else, before which receipts are sent."""
    scene.phone.renew("letters")


def follow(scene: Scene) -> None:
    scene.phone.refresh_trust()


def obey(scene: Scene) -> None:
    wiped(scene.phone)


def wiped(room: client.Room) -> None:
    """Renew, which brings the order."""
    try:
        room.renew("digits")
    except RefusedError as error:
        if error.code != Code.WIPED:
            raise


def lost(sent: Any) -> Any:
    """Lose receipts on the way."""
    if sent.kind.endswith("receipt"):
        raise UnreachableError(Code.UNREACHABLE, "the line is cut")
    return sent


def unreported(scene: Scene) -> None:
    """The phone has carried the order out, and its receipt did not arrive yet; letters are still there."""
    scene.phone.pull("letters")
    ordered(scene)
    scene.proxy.on_request = lost
    wiped(scene.phone)
    scene.honest()
    assert [one.sent for one in scene.phone.store.need().tombstones] == [False]


def next_trust(scene: Scene) -> None:
    """The owners have signed another document."""
    street = scene.street
    trust = replace(street.office.trust, version=2, expires=street.office.trust.expires + 1)
    newer = trust_file.split(trust_file.encode(trust, street.owners))
    object.__setattr__(street.office, "trust_documents", (*street.office.trust_documents, newer))


def check_identity_heals(scene: Scene) -> None:
    """Whoever the device was told to be, it gets nothing as such, and enrolling again on an honest line heals it."""
    scene.honest()
    room = scene.phone
    if remembered(room).identity.id != remembered_id(scene) or room.identity.account != account_of(scene):
        with pytest.raises(StrongroomError):
            room.pull("digits")
    room.enrol(scene.token)
    assert (room.identity.id, room.identity.account) == (remembered_id(scene), account_of(scene))
    assert room.pull("digits").fetched


def remembered_id(scene: Scene) -> str:
    return next(row.id for row in scene.street.ledger.tables.devices if row.account == account_of(scene))


def account_of(scene: Scene) -> str:
    return next(row.id for row in scene.street.ledger.tables.accounts if row.name == "alice")


UNSIGNED = "not signed, and nothing believes it"
PLAYS = {
    "challenge request": Play("/v1/challenges", "request", (ChallengeRequest,), fresh, pull, {}),
    "challenge answer": Play(
        "/v1/challenges",
        "answer",
        (ChallengeAnswer,),
        fresh,
        pull,
        {
            r"\w+ \.(expires_at|suites)(\[\d\])?": UNSIGNED,
            r"\w+ \.kems(\[\d\])?": "any KEM that trust.json allows may be used; the owners choose what that is",
            r"(flipped|swapped) \.server_time": "a reason to refuse, if it is later than trust.json; never to believe",
        },
    ),
    "enrol request": Play("/v1/devices", "request", (EnrolRequest,), lambda _: None, enrol, {}),
    "enrol answer": Play(
        "/v1/devices",
        "answer",
        (EnrolAnswer,),
        lambda _: None,
        enrol,
        {r"(flipped|swapped) \.[a-z_]+|\w+ \.token/.*": "not signed: a wrong identity gets nothing, the next heals it"},
        after=check_identity_heals,
    ),
    "release request": Play("/v1/releases", "request", (ReleaseRequest,), fresh, pull, {}),
    "release answer": Play("/v1/releases", "answer", (ReleaseAnswer, Grant, Lease), fresh, pull, {}),
    "urls request": Play("/v1/releases/urls", "request", (UrlsRequest,), links_over, pull, {}, granted=1),
    "urls answer": Play(
        "/v1/releases/urls",
        "answer",
        (UrlsAnswer,),
        links_over,
        pull,
        {
            r"(flipped|swapped) \.urls_expire": UNSIGNED,
            r"swapped \.urls(\[0\])?": "another genuine link to the same object",
        },
    ),
    "renew request": Play("/v1/leases/renew", "request", (RenewRequest,), held, renew, {}),
    "renew answer": Play("/v1/leases/renew", "answer", (RenewAnswer, Renewal, Lease), held, renew, {}),
    "orders": Play("/v1/leases/renew", "answer", (RenewAnswer, Renewal, Order), ordered, obey, {}),
    "receipt request": Play("/v1/orders/receipt", "request", (ReceiptRequest, Receipt), unreported, report, {}),
    "receipt answer": Play(
        "/v1/orders/receipt",
        "answer",
        (ReceiptAnswer,),
        unreported,
        report,
        {r"\w+ .*": "only whether the office answered well counts, and it has the receipt"},
    ),
    "trust": Play(
        "/v1/trust",
        "answer",
        (TrustAnswer,),
        next_trust,
        follow,
        {r"(removed \.trust\[0\]|swapped \.trust)": "withheld: the device keeps its document until that expires"},
    ),
}


def tried(scene: Scene, play: Play, before: Any) -> Counter[str]:
    """Make every edit of one message, each on a line and a device as they were before it."""
    theirs, mine = (line.bodies(play.kind, play.side) for line in (scene.other, scene.proxy))
    others = [json.loads(body) for body in (*theirs[:1], *theirs[-1:], *mine[-1:])]
    shape = caught(scene, play)
    outcomes: Counter[str] = Counter()
    for index in range(sum(1 for _ in edits(shape, others))):
        scene.back()
        books, done = scene.books(), []

        def edit(body: bytes, index: int = index, done: list[str] = done) -> bytes:
            for place, kind, make in islice(edits(json.loads(body), others), index, None):
                done.append(f"{kind} {place}")
                return render(make())
            return body  # this message has fewer fields than the first had

        on_line(scene, play, edit)
        outcomes[attempt(scene, play, before, books, done)] += 1
    scene.honest()
    return outcomes


def caught(scene: Scene, play: Play) -> Any:
    """Return the message as it is when nobody edits it, and put everything back."""
    bodies: list[bytes] = []
    on_line(scene, play, lambda body: bodies.append(body) or body)
    play.act(scene)
    scene.back()
    assert render(json.loads(bodies[0])) == bodies[0]
    return json.loads(bodies[0])


def on_line(scene: Scene, play: Play, edit: Callable[[bytes], bytes]) -> None:
    scene.honest()
    if play.kind == "/v1/releases/urls":
        over_once(scene.proxy)
    if play.side == "request":
        scene.proxy.on_request = lambda sent: replace(sent, body=edit(sent.body)) if sent.kind == play.kind else sent
    else:
        later = scene.proxy.on_answer

        def answer(sent: Sent, given: Response) -> Response:
            given = later(sent, given)
            return replace(given, body=edit(given.body)) if sent.kind == play.kind and given.status < 300 else given

        scene.proxy.on_answer = answer


def attempt(scene: Scene, play: Play, before: Any, books: dict[str, Any], done: list[str]) -> str:
    """Make one attempt; say whether it was refused, and see that nothing is wrong afterwards."""
    code = None
    try:
        play.act(scene)
    except StrongroomError as error:
        code = error.code
    assert code is None or code not in {Code.INTERNAL, Code.STORE_DAMAGED}, (done, code)
    room, now = scene.phone, scene.books()
    if code is not None or done == []:
        assert remembered(room) == before, (done, code)
        if play.side == "request":
            assert len(now.pop("leases")) == len(books.pop("leases")) + play.granted, (done, code)
            assert now == books, (done, code)
        return "refused" if done else "nothing to edit"
    if play.kind == "/v1/orders/receipt" and play.side == "request":  # the renewal went on, the receipt was not taken
        assert now["reported"] == books["reported"], done
        assert [one.sent for one in room.store.need().tombstones] == [False], done
        return "refused"
    if play.kind == "/v1/leases/renew" and play.act is obey and room.store.need().tombstones == before.tombstones:
        assert remembered(room) == before, done
        return "refused"
    assert any(re.fullmatch(pattern, done[0]) for pattern in play.harmless), done
    check_whole(room, scene.street.folder / "phone")
    play.after(scene)
    return "no effect"


@pytest.mark.slow
@pytest.mark.parametrize("name", PLAYS)
def test_every_edit_of_every_field(scene, name, capsys):
    """G06, B02, B03, B04, B10, B20, B25: removed, retyped, flipped, written twice, taken from another genuine message.

    Other genuine messages: of another device and account, of another model, of another time.
    """
    play = PLAYS[name]
    play.ready(scene)
    scene.save()
    outcomes = tried(scene, play, remembered(scene.phone))
    check_whole(scene.phone, scene.street.folder / "phone")
    with capsys.disabled():
        print(f"\n{name}: {dict(outcomes)}")  # noqa: T201 - the counts are for whoever reads the log
    assert sum(outcomes.values()) >= PER_FIELD * sum(map(fields_of, play.messages))
    assert outcomes["refused"] > 0 or name == "receipt answer"
    assert outcomes["nothing to edit"] == 0
