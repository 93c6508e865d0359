"""The admin API as its callers see it: one method a route, pinned TLS, every answer checked.

Used by the command line and by CI jobs. The token says who is asking; the office decides what they may (R13).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NoReturn, Protocol, Self
from urllib.parse import quote, urlencode

from strongroom import canonical, names
from strongroom.canonical import JsonValue
from strongroom.errors import Code, InputError, IntegrityError, StrongroomError, UnreachableError
from strongroom.transport import Pinned, Response, raise_problem
from strongroom.wire.trust import Trust

ANSWER_LIMIT = 4_194_304  # bytes; a page of 100 rows needs far less
TOKEN_LIMIT = 16_384  # characters

_ADDRESS = re.compile(r"https://(?:[A-Za-z0-9.-]{1,253}|\[[0-9a-fA-F:]{2,45}\])(?::(?P<port>[0-9]{1,5}))?(?:/[!-~]*)?")

Values = dict[str, JsonValue]


class Transport(Protocol):
    """What the client needs of `transport.Pinned`; tests put an office in memory here."""

    def request(
        self, method: str, path_or_url: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None, limit: int
    ) -> Response:
        """Send one request and return the whole answer, whatever its status."""
        ...

    def upload(self, url: str, source: BinaryIO, size: int, progress: Callable[[int], None] | None = None) -> None:
        """PUT exactly `size` bytes to a signed URL."""
        ...

    def close(self) -> None:
        """Close idle connections."""
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where the next version of a model stands in the order of versions."""

    epoch: int
    counter: int


@dataclass(frozen=True, slots=True)
class OfficeClient:
    """The office, reached over its admin API.

    Attributes:
        transport: pinned connections to the admin API and to the object store.
        trust: the trust file, which names the deposit keys.
        owner_keys: owner key files to sign with when nothing else is said.
    """

    transport: Transport
    trust: Trust
    token: str = field(repr=False)
    owner_keys: Sequence[Path] = ()

    @classmethod
    def connect(cls, url: str, *, token: str, trust: Trust, owner_keys: Sequence[Path] = ()) -> "OfficeClient":
        """Prepare a client; nothing is sent yet.

        Args:
            url: the admin API, https://host:port.
            token: the operator's token; white space around it, such as a file's last newline, is dropped.
            trust: the trust file, which pins the office's host.
            owner_keys: owner key files to sign with when nothing else is said.

        Raises:
            InputError: ARGUMENT if the URL is not https or the token cannot be one.
            UnreachableError: PIN_MISMATCH if the trust file does not pin its host.
        """
        return cls(Pinned(check_address(url), trust.pins), trust, check_token(token), owner_keys)

    def close(self) -> None:
        """Close idle connections; the client may be used again."""
        self.transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(self, *path: str, **query: str | None) -> Values:
        """Read something.

        Raises:
            DeniedError: UNAUTHENTICATED, FORBIDDEN, NOT_FOUND.
            UnreachableError: UNREACHABLE, PIN_MISMATCH, ANSWER.
        """
        return self._send("GET", path, None, query)

    def post(self, *path: str, value: Mapping[str, JsonValue] | None = None) -> Values:
        """Create or start something. Raises as `get`, and InputError for what the office does not accept."""
        return self._send("POST", path, dict(value or {}), {})

    def delete(self, *path: str) -> Values:
        """Take something away. Raises as `get`."""
        return self._send("DELETE", path, None, {})

    def every(self, kind: str) -> list[Values]:
        """Return every row of a list that comes in pages. Raises as `get`."""
        found: list[Values] = []
        after: str | None = None
        while True:
            answer = self.get(kind, after=after)
            found += rows(answer, kind)
            mark = answer.get("next")
            if not isinstance(mark, str) or mark == after:
                return found
            after = mark

    def next_place(self, model: str) -> Place:
        """Ask where the next version of a model stands; a model nobody published yet starts at 1, 1."""
        names.check("model", model)
        place = self.get("models", model).get("next")
        if not isinstance(place, dict):
            raise _no_answer("models")
        return Place(number(place, "epoch"), number(place, "counter"))

    def place_of(self, model: str, version: str) -> Place:
        """Ask where a version that is there stands. Raises as `get`, and InputError(NAME)."""
        names.check("model", model)
        names.check("version", version)
        found = self.get("models", model, "versions", version)
        return Place(number(found, "epoch"), number(found, "counter"))

    def _send(self, method: str, path: Sequence[str], value: Values | None, query: dict[str, str | None]) -> Values:
        where = "/v1/" + "/".join(quote(part, safe="") for part in path)
        asked = urlencode({name: item for name, item in query.items() if item is not None})
        headers = {"Authorization": f"Bearer {self.token}", "Accept": "application/json"}
        body = b""
        if value is not None:
            headers["Content-Type"] = "application/json"
            body = canonical.encode(value)
        response = self.transport.request(
            method, f"{where}?{asked}" if asked else where, body=body, headers=headers, limit=ANSWER_LIMIT
        )
        if response.status in {404, 405} and "detail" not in _told(response.body):  # an office says what is missing
            next_step = "check the port of the admin API: --admin-url https://HOST:PORT"
            what = "this is not the admin API of a strongroom"
            raise UnreachableError(Code.ANSWER, what, where=where, next_step=next_step)
        if response.status >= 300:
            _raise_refusal(response)
        if not response.body:
            return {}
        answer = canonical.decode(response.body, limit=ANSWER_LIMIT, where=where)
        if not isinstance(answer, dict):
            raise _no_answer(where)
        return answer


def check_address(url: str) -> str:
    """Return the URL of a server if it is one.

    Raises:
        InputError: ARGUMENT. What stands before an `@` may be a password, so such a URL is not repeated.
    """
    if "@" in url:
        next_step = "write it as https://host:port; tokens come from files and the environment"
        raise InputError(Code.ARGUMENT, "a server's address has no name or password in it", next_step=next_step)
    found = _ADDRESS.fullmatch(url)
    if found is None or not 1 <= int(found["port"] or 443) <= 65_535:
        next_step = "write it as https://host:port"
        raise InputError(Code.ARGUMENT, "not the address of a server", where=ascii(url[:200]), next_step=next_step)
    return url


def check_token(token: str) -> str:
    """Return an operator's token without the white space around it.

    Raises:
        InputError: ARGUMENT if it cannot be one; it is not repeated.
    """
    bare = token.strip()
    if not bare.isascii() or not bare.isprintable() or " " in bare or not 1 <= len(bare) <= TOKEN_LIMIT:
        next_step = "copy the whole token, as `strongroom operator add` printed it"
        what = "this is not one operator's token: it is empty, too long, or has spaces or other signs in it"
        raise InputError(Code.ARGUMENT, what, next_step=next_step)
    return bare


def text(answer: Values, name: str) -> str:
    """Return a text field of an answer. Raises UnreachableError(ANSWER) if it is none."""
    value = answer.get(name)
    if not isinstance(value, str):
        raise _no_answer(name)
    return value


def number(answer: Values, name: str) -> int:
    """Return an integer field of an answer. Raises UnreachableError(ANSWER) if it is none."""
    value = answer.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise _no_answer(name)
    return value


def rows(answer: Values, name: str) -> list[Values]:
    """Return a list of objects of an answer. Raises UnreachableError(ANSWER) if it is none."""
    value = answer.get(name)
    if not isinstance(value, list):
        raise _no_answer(name)
    found = [item for item in value if isinstance(item, dict)]
    if len(found) != len(value):
        raise _no_answer(name)
    return found


def _raise_refusal(response: Response) -> NoReturn:
    """Raise what the office refused with, and say why: unlike devices, its own people are told."""
    try:
        raise_problem(response)
    except StrongroomError as error:
        told = _told(response.body)
        reference = told.get("instance", "")
        if "detail" in told:
            error.what = f"{told['detail']} (reference {reference})" if reference else told["detail"]
            error.where = error.where or told.get("where", "")
            error.next_step = told.get("next") or error.next_step
        raise


def _told(body: bytes) -> dict[str, str]:
    try:
        fields = canonical.decode(body, limit=65_536)
    except IntegrityError:
        return {}
    known = fields if isinstance(fields, dict) else {}
    return {name: value[:1000] for name, value in known.items() if isinstance(value, str)}


def _no_answer(where: str) -> UnreachableError:
    return UnreachableError(Code.ANSWER, "the office's answer is not what this version expects", where=where)
