"""Decoy routes that every office has: four of a list, chosen by its vault's key.

Our source is open, and who reads it knows this list. These catch those who try what looks like a door; what a reader
of the source cannot know is what was added with `strongroom decoy add`.
"""

from dataclasses import dataclass
from typing import Final

from strongroom.server.bait.marks import Marks, mark_of
from strongroom.server.watch_ports import DecoyRow
from strongroom.shapes import Array, Binary, Object, Text
from strongroom.wire.messages import UrlsAnswer

ENDPOINT = "endpoint"
CHOSEN = 4
NOTE = "shipped with the server"

_KEYS = Object({"keys": Array(Binary(32), most=16)})
_NAMES = Object({"models": Array(Text(64), most=100)})


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A decoy route as its OpenAPI shows it.

    Attributes:
        method: GET or POST.
        path: with `{name}` where a real route takes a name.
        summary: its docstring.
        answer: the shape of an answer that nobody ever gets.
    """

    method: str
    path: str
    summary: str
    answer: Object

    @property
    def name(self) -> str:
        """How its row is named."""
        return f"{self.method} {self.path}"


# Nothing that somebody honest who reads the OpenAPI document could want: all of it is the keys, or the opened model.
CANDIDATES: Final = (
    Endpoint("POST", "/v1/releases/{release_id}/export", "Export what was released, opened.", UrlsAnswer.SHAPE),
    Endpoint("POST", "/v1/releases/{release_id}/keys", "Give the bare keys of an earlier release.", _KEYS),
    Endpoint("POST", "/v1/models/{model}/export", "Export a model of any account, opened.", UrlsAnswer.SHAPE),
    Endpoint("POST", "/v1/leases/{lease_id}/keys", "Give the bare keys behind a lease.", _KEYS),
    Endpoint("POST", "/v1/debug/decrypt", "Open a sealed file without a lease.", UrlsAnswer.SHAPE),
    Endpoint("GET", "/v0/keys", "List bare keys, for old services of the office.", _KEYS),
    Endpoint("GET", "/v1/debug/weights", "List opened weights in this server's memory.", _NAMES),
    Endpoint("GET", "/v1/internal/keys", "List wrapped keys, for the office's own services.", _KEYS),
    Endpoint("GET", "/v1/internal/models", "List opened models, for the office's own services.", _NAMES),
)
_BY_NAME: Final = {one.name: one for one in CANDIDATES}


def endpoint_of(name: str) -> Endpoint:
    """Return the route that a row's name stands for."""
    method, _, path = name.partition(" ")
    word = path.rstrip("/").rpartition("/")[2].strip("{}") or "item"
    answer = UrlsAnswer.SHAPE if method == "POST" else _NAMES
    return _BY_NAME.get(name) or Endpoint(method, path, f"Ask for {word.replace('_', ' ')}.", answer)


def shipped(marks: Marks) -> tuple[DecoyRow, ...]:
    """Return the rows of this office's shipped routes; the same whenever it is asked."""
    order = sorted(CANDIDATES, key=lambda one: marks.random_of("shipped", one.name, 16))
    return tuple(
        DecoyRow(
            id=marks.identifier("dcy", one.name),
            kind=ENDPOINT,
            name=one.name,
            note=NOTE,
            mark=mark_of(f"{ENDPOINT} {one.name}"),
            created=0,
            operator="",
            state="active",
        )
        for one in order[:CHOSEN]
    )
