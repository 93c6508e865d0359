"""The office in memory, stopped, asking for more, or with words for the app (protocol.md section 18)."""

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass, field

from rooms.edge.memory_office import SERVER, USER_TOKEN, Device
from rooms.edge.ordering_office import OrderingOffice
from strongroom.edge import client
from strongroom.edge.keystore.file import FileKeystore
from strongroom.edge.reactions import Callbacks, OnReaction, OnStepUp
from strongroom.edge.signals import Teller
from strongroom.edge.tamper.looking import Facts
from strongroom.errors import Code
from strongroom.signing import PublicKey
from strongroom.transport import Response
from strongroom.wire.appeal import AppealAnswer, AppealRequest
from strongroom.wire.messages import EnrolRequest, ReleaseRequest

REFERENCE = "ref_" + "R" * 22
APPEAL = "apl_" + "A" * 22
STATUS = {Code.RATE_LIMITED: 429}


@dataclass
class ReactingOffice(OrderingOffice):
    """As the office; `refuses` says which paths it answers with which code."""

    refuses: Callable[[str], Code | None] = lambda path: None
    until_enrolled: bool = True  # a device that enrols again is let in
    words: tuple[str, ...] = ()
    headers: dict[str, str] = field(default_factory=dict)
    enrolled: list[EnrolRequest] = field(default_factory=list)
    asked: list[ReleaseRequest] = field(default_factory=list)
    appeals: list[AppealRequest] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.bend = lambda given: dataclasses.replace(given, reactions=self.words)
        self.bend_renewal = lambda given: dataclasses.replace(given, reactions=self.words)

    def _answer(self, path: str, body: bytes, key: PublicKey) -> Response:
        if path == "/v1/devices":
            self.enrolled.append(EnrolRequest.from_bytes(body))
            if self.until_enrolled and len(self.enrolled) > 1:
                self.refuses = lambda path: None
        if path == "/v1/releases":
            self.asked.append(ReleaseRequest.from_bytes(body))
        if path == "/v1/appeals":
            self.appeals.append(AppealRequest.from_bytes(body))
            return Response(201, {"content-type": "application/json"}, AppealAnswer(APPEAL, self.now).to_bytes())
        code = self.refuses(path)
        if code is None:
            return super()._answer(path, body, key)
        status = STATUS.get(code, 403)
        value = {"type": f"urn:strongroom:problem:{code}", "title": "no", "status": status, "code": str(code)}
        headers = {"content-type": "application/problem+json"} | self.headers
        return Response(status, headers, json.dumps(value | {"instance": REFERENCE}).encode())


def releases(code: Code) -> Callable[[str], Code | None]:
    """Refuse releases with a code."""
    return lambda path: code if path == "/v1/releases" else None


@dataclass
class AppDevice(Device):
    """A device in an app."""

    facts: Facts = field(default_factory=Facts)

    def app(
        self,
        on_step_up: OnStepUp | None = None,
        on_reaction: OnReaction | None = None,
        *,
        token: str | None = None,
        build: str | None = None,
        attestor: client.Attestor | None = None,
    ) -> client.Room:
        """Open its room as an app does, enrolled beforehand."""
        if not (self.home / "state.json").exists():
            self.room(token=USER_TOKEN)
        return client.open_room(
            self.home,
            FileKeystore(self.home / "keystore"),
            url=SERVER,
            token=token,
            trust=None,
            connector=lambda _: self.office,
            clocks=self.clocks,
            attestor=attestor,
            callbacks=Callbacks(on_step_up, on_reaction),
            teller=Teller(build, lambda: self.facts),
        )
