"""An office in memory: the admin API's answers, as bent as a test wants them."""

import json
from dataclasses import dataclass, field

import pytest

from strongroom import canonical
from strongroom.operator import OfficeClient
from strongroom.sealed import ModelKey, parse_head
from strongroom.signing import ED25519, ML_DSA_65, Principal, Role, SigningKey
from strongroom.transport import Response
from strongroom.wire import hpke, trust
from strongroom.wire.trust import DepositRecipient, Pin, Trust

NOW = 1_800_000_000
YEAR = 365 * 86_400


def answer(status, value):
    return Response(status, {"content-type": "application/json"}, canonical.encode(value))


def problem(status, code, **more):
    value = {"type": f"urn:strongroom:problem:{code}", "title": "Refused", "status": status, "code": code}
    return answer(status, value | {"instance": "ref_1"} | more)


@dataclass
class DeskOffice:
    """Stands where `transport.Pinned` stands; takes deposits as the server does, opening them with its deposit key."""

    deposit_key: hpke.DepositKey
    deposits: list = field(default_factory=list)
    keys: list = field(default_factory=list)
    uploaded: dict = field(default_factory=dict)
    requests: list = field(default_factory=list)
    states: list = field(default_factory=lambda: ["checking", "ready"])
    reason: str = ""
    place: tuple = (1, 1)
    refusals: dict = field(default_factory=dict)  # "METHOD path" -> Response
    answer = staticmethod(answer)
    problem = staticmethod(problem)

    def request(self, method, path_or_url, *, body=b"", headers=None, limit):
        self.requests.append((method, path_or_url, dict(headers)))
        if refused := self.refusals.get(f"{method} {path_or_url}"):
            return refused
        parts = path_or_url.partition("?")[0].split("/")[2:]
        if parts == ["deposits"]:
            return self._deposit(json.loads(body))
        following = {"epoch": self.place[0], "counter": self.place[1]}
        known = {
            "deposit-context": (200, {"account": "", "publisher": "op_AAAAAAAAAAAAAAAAAAAAAA"}),
            "complete": (202, {"state": "checking"}),
            "1.0": (200, {"state": self.states[0], "reason": self.reason}),
            "digits": (200, {"model": "digits", "channels": [], "versions": [], "next": following}),
        }
        if parts[-1] == "1.0" and len(self.states) > 1:
            del self.states[0]  # the answer above was made from it
        return answer(*known[parts[-1]])

    def close(self):
        pass

    def _deposit(self, value):
        file = value["files"][0]
        head = parse_head(canonical.from_base64url(file["head_part"]), file_size=file["size"])
        info = hpke.deposit_info(
            "", "op_AAAAAAAAAAAAAAAAAAAAAA", value["model"], value["version"], head.core.file_id, head.digest
        )
        self.keys.append(ModelKey(self.deposit_key.open(canonical.from_base64url(file["sealed"]), info)))
        self.deposits.append(value)
        upload = {"file_id": canonical.to_base64url(head.core.file_id), "url": "https://desk/o/x"}
        return answer(201, {"version_id": "ver_AAAAAAAAAAAAAAAAAAAAAA", "uploads": [upload]})

    def upload(self, url, source, size, progress=None):
        data = source.read(size)
        assert len(data) == size
        self.uploaded[url] = data
        if progress:
            progress(size)


@pytest.fixture(scope="session")
def owner():
    return SigningKey.generate(ED25519), SigningKey.generate(ML_DSA_65)


@pytest.fixture(scope="session")
def deposit_key():
    return hpke.DepositKey.generate()


@pytest.fixture
def make_trust(owner, deposit_key):
    def make(*, expires=NOW + YEAR, deposit_expires=NOW + YEAR):
        role = Role(1, (Principal(tuple(key.public for key in owner)),))
        other = Role(1, (Principal((SigningKey.generate(ED25519).public,)),))
        third = Role(1, (Principal((SigningKey.generate(ED25519).public,)),))
        document = Trust(
            version=1,
            expires=expires,
            server="https://desk",
            pins=(Pin("desk", None, (bytes(32),)),),
            owner=role,
            release=other,
            order=third,
            deposit=(DepositRecipient(deposit_key.kem, deposit_key.public, deposit_expires),),
            suites=(1,),
            kems=(0x647A, 0x0020, 0x0010),
        )
        return trust.read(trust.encode(document, owner))

    return make


@pytest.fixture
def desk(deposit_key):
    return DeskOffice(deposit_key)


@pytest.fixture
def office(desk, make_trust):
    return OfficeClient(desk, make_trust(), "operator-token-s3cret")
