"""What a proxy that has broken TLS can do: every edit of every field of a message, and a line on which it is done.

`edits` walks a body field by field, into signed values too, whose signatures stay as they were: the proxy has no key.
"""

import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from strongroom.canonical import from_base64url, to_base64url
from strongroom.edge import client
from strongroom.edge.clock import Anchor
from strongroom.errors import Code, StrongroomError, UnreachableError
from strongroom.operator.protect import protect
from strongroom.transport import Response, raise_problem
from strongroom_in_memory import DEVICES, Street, Wire

_JWS = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
WEIGHTS = {("digits", "1.0"): b"first " * 99, ("digits", "1.1"): b"second" * 99, ("letters", "1.0"): b"third!" * 99}


class Twice(dict):
    """An object of which one field is written twice."""

    doubled = ""

    @classmethod
    def of(cls, value: dict[str, Any], name: str) -> "Twice":
        """Write a field of an object twice."""
        made = cls(value)
        made.doubled = name
        return made


def render(value: Any) -> bytes:
    """Write JSON terms canonically, but for what an edit made of them."""
    if isinstance(value, dict):
        names = sorted(value) + ([value.doubled] if isinstance(value, Twice) else [])
        return b"{" + b",".join(render(name) + b":" + render(value[name]) for name in sorted(names)) + b"}"
    if isinstance(value, list):
        return b"[" + b",".join(map(render, value)) + b"]"
    return json.dumps(value).encode()


def open_jws(text: Any) -> list[Any] | None:
    """Return header, payload and signature of a signed value in compact form, or None."""
    if not isinstance(text, str) or not _JWS.fullmatch(text):
        return None
    try:
        header, payload = (json.loads(from_base64url(part)) for part in text.split(".")[:2])
    except (ValueError, StrongroomError):
        return None
    return [header, payload, text.rpartition(".")[2]]


def close_jws(parts: Sequence[Any]) -> str:
    """Write a signed value with the signature it has."""
    header, payload, signature = parts
    return f"{to_base64url(render(header))}.{to_base64url(render(payload))}.{signature}"


def edits(value: Any, others: Sequence[Any] = ()) -> Iterator[tuple[str, str, Callable[[], Any]]]:
    """Yield every edit of a decoded body: where, what is done, and what makes the value after it.

    Args:
        value: decoded JSON.
        others: the same place in other genuine messages.
    """
    parts = open_jws(value)
    if parts is not None:
        genuine = [one for one in map(open_jws, others) if one is not None]
        for index, name in enumerate(("header", "payload", "signature")):
            inner = [one[index] for one in genuine]
            whole = [("swapped", one) for one in inner if one != parts[index]]
            if name == "signature":
                whole += [("flipped", one) for one in flips(parts[index], (0, 1, 2, 3, 4))]
            for kind, new in whole:
                yield f"/{name}", kind, partial(_signed, parts, index, partial(_same, new))
            for place, kind, make in edits(parts[index], inner):
                yield f"/{name}{place}", kind, partial(_signed, parts, index, make)
    elif isinstance(value, dict):
        yield from _of_object(value, others)
    elif isinstance(value, list):
        yield from _of_array(value, others)


def _of_object(value: dict[str, Any], others: Sequence[Any]) -> Iterator[tuple[str, str, Callable[[], Any]]]:
    yield "", "added", lambda: {**value, "zz": 1}
    for name, item in value.items():
        yield f".{name}", "removed", partial(_without, value, name)
        yield f".{name}", "doubled", partial(Twice.of, value, name)
        inner = [one[name] for one in others if isinstance(one, dict) and name in one]
        for place, kind, make in (*_of_one(item, inner), *edits(item, inner)):
            yield f".{name}{place}", kind, partial(_with, value, name, make)


def _of_array(value: list[Any], others: Sequence[Any]) -> Iterator[tuple[str, str, Callable[[], Any]]]:
    for index, item in enumerate(value):
        yield f"[{index}]", "removed", partial(_spliced, value, index, ())
        yield f"[{index}]", "doubled", partial(_spliced, value, index, (item, item))
        inner = [one[index] for one in others if isinstance(one, list) and index < len(one)]
        for place, kind, make in (*_of_one(item, inner), *edits(item, inner)):
            yield f"[{index}]{place}", kind, partial(_replaced, value, index, make)


def _of_one(item: Any, others: Sequence[Any]) -> Iterator[tuple[str, str, Callable[[], Any]]]:
    yield "", "retyped", lambda: {str: 7, int: str(item), list: {}, dict: [], type(None): 0}[type(item)]
    for other in others:
        if other != item:
            yield "", "swapped", partial(_same, other)
    if isinstance(item, int):
        yield "", "flipped", lambda: item + 1
    elif isinstance(item, str) and item:
        yield from (("", "flipped", partial(_same, one)) for one in flips(item))


def _same(value: Any) -> Any:
    return value


def _signed(parts: list[Any], index: int, make: Callable[[], Any]) -> str:
    return close_jws([*parts[:index], make(), *parts[index + 1 :]])


def _without(value: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: one for key, one in value.items() if key != name}


def _with(value: dict[str, Any], name: str, make: Callable[[], Any]) -> dict[str, Any]:
    return value | {name: make()}


def _spliced(value: list[Any], index: int, instead: Sequence[Any]) -> list[Any]:
    return [*value[:index], *instead, *value[index + 1 :]]


def _replaced(value: list[Any], index: int, make: Callable[[], Any]) -> list[Any]:
    return _spliced(value, index, (make(),))


def flips(text: str, places: Sequence[int] = (2,)) -> Iterator[str]:
    """Yield a text with one character changed: by default in its middle; 0 is its beginning, 4 its last character."""
    for at in sorted({(len(text) - 1) * one // 4 for one in places}):
        yield text[:at] + ("B" if text[at] == "A" else "A") + text[at + 1 :]


@dataclass(frozen=True, slots=True)
class Sent:
    """A request as it left the device."""

    method: str
    url: str
    body: bytes
    headers: dict[str, str]

    @property
    def kind(self) -> str:
        """The path without what differs from one message to the next."""
        path = self.url.removeprefix(DEVICES).partition("?")[0]
        return re.sub(r"/[a-z]{3}_[\w-]{22}", "", "/o" if path.startswith("/o/") else path)


@dataclass
class Proxy(Wire):
    """A line with somebody on it who reads and writes whatever passes.

    Hosts without a pin, redirects and answers beyond the limit end here as they end in `transport.Pinned`, which is
    tried on real sockets in tests/rooms/transport.
    """

    street: Street
    on_request: Callable[[Sent], Sent] = lambda sent: sent
    on_answer: Callable[[Sent, Response], Response] = lambda _, answer: answer
    carry: Callable[[Sent, Callable[[Sent], Response]], Response] = lambda sent, on: on(sent)
    seen: list[tuple[Sent, Response]] = field(default_factory=list)

    def request(
        self, method: str, path_or_url: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None, limit: int
    ) -> Response:
        url = DEVICES + path_or_url if path_or_url.startswith("/") else path_or_url
        if not url.startswith(DEVICES + "/"):
            raise UnreachableError(Code.PIN_MISMATCH, "trust.json does not pin this host")
        sent = Sent(method, url, body, dict(headers or {}))
        answer = self.on_answer(sent, self.carry(self.on_request(sent), self.deliver))
        if 300 <= answer.status < 400 or len(answer.body) > limit:
            raise UnreachableError(Code.ANSWER, "an answer that is none")
        return answer

    def deliver(self, sent: Sent) -> Response:
        """Bring a request to the office."""
        answer: Response = self.street.do(self.street.send(sent.method, sent.url, sent.body, sent.headers))
        self.seen.append((sent, answer))
        return answer

    def read_range(self, url: str, offset: int, length: int) -> bytes:
        wanted = {"Range": f"bytes={offset}-{offset + length - 1}"}
        answer = self.request("GET", url, headers=wanted, limit=length + 65_536)
        if answer.status != 206:
            raise_problem(answer)
        return answer.body

    def bodies(self, kind: str, side: str) -> list[bytes]:
        """Return what passed of one kind: requests or answers."""
        return [sent.body if side == "request" else answer.body for sent, answer in self.seen if sent.kind == kind]


class Scene:
    """An office with two models, a phone that the proxy sits beside, and another account's tablet."""

    def __init__(self, street: Street) -> None:
        self.street = street
        self.publish("digits", "1.0")
        self.publish("letters", "1.0")
        self.proxy, self.other = Proxy(street), Proxy(street)
        self.token = street.customer("alice", "digits", "letters")
        self.phone.enrol(self.token)
        tablet = street.device("tablet", street.customer("bob", "digits", "letters"), self.other)
        for model in ("digits", "letters"):
            tablet.pull(model)
            tablet.renew(model)
        self.tablet = tablet

    @property
    def phone(self) -> client.Room:
        """The phone's directory, opened anew."""
        return self.street.device("phone", wire=self.proxy)

    def publish(self, model: str, version: str) -> None:
        """Publish a small model."""
        out = self.street.folder / f"{model}-{version}.srm"
        made = protect(
            WEIGHTS[model, version],
            name=model,
            version=version,
            out=out,
            sign_with=self.street.owners,
            office=self.street.admin,
        )
        with made:
            made.publish(channel="stable")

    def save(self) -> None:
        """Keep the phone's directory and the office's rows as they are, to go back to."""
        shutil.rmtree(self.street.folder / "saved", ignore_errors=True)
        shutil.copytree(self.street.folder / "phone", self.street.folder / "saved")
        self.saved = self.street.ledger.tables.copy()

    def back(self) -> None:
        """Put the phone's directory back, if it changed, and the office's rows."""
        phone, saved = self.street.folder / "phone", self.street.folder / "saved"
        if (phone / "state.json").read_bytes() != (saved / "state.json").read_bytes():
            shutil.rmtree(phone)
            shutil.copytree(saved, phone)
        self.street.ledger.tables = self.saved.copy()

    def honest(self) -> None:
        """Nobody is on the line any more."""
        self.proxy.on_request = lambda sent: sent
        self.proxy.on_answer = lambda _, answer: answer
        self.proxy.carry = lambda sent, on: on(sent)

    def books(self) -> dict[str, Any]:
        """What the office has written down that matters, with its own invariant checked: no release without a row."""
        tables = self.street.ledger.tables
        events = [row.event for row in tables.audit]
        assert len(tables.releases) == events.count("release.granted")
        leases = {row.id: (row.lease_expires, row.ended) for row in tables.releases}
        reported = {row.id: row.reported for row in tables.orders}
        devices = {row.id: (row.thumbprint, row.state) for row in tables.devices}
        return {"leases": leases, "reported": reported, "devices": devices, "renewed": events.count("lease.renewed")}


def remembered(room: client.Room) -> Any:
    """What a device remembers, but for the time, and for downloads that were only begun."""
    return replace(room.store.need(), clock=Anchor(0, 0, "", 0), partials=())


def check_whole(room: client.Room, home: Path) -> None:
    """Whatever is installed opens, by its lease, to what was published; and nothing else lies there."""
    state = room.store.need()
    for one in state.installs:
        with room.load(f"{one.model}@{one.version}", offline="only") as model:
            assert bytes(model.bytes()) == WEIGHTS[one.model, one.version]
        assert state.mark(one.model) == (one.epoch, one.counter)
    assert {path.name for path in home.glob("models/*")} == {one.id for one in state.installs}
