"""One device, one office and one request, whole and honest; each test bends one thing of it."""

import hashlib
from dataclasses import dataclass, field, replace

import pytest

from strongroom.sealed.keys import ModelKey
from strongroom.signing import ED25519, ES256, ML_DSA_65, Principal, Role, SigningKey
from strongroom.wire import grant as grants
from strongroom.wire import hpke, lease
from strongroom.wire.binding import Binding
from strongroom.wire.messages import Grant, GrantFile, Latest, Lease, ReleaseAnswer
from strongroom.wire.trust import DepositRecipient, Pin, Trust

NOW = 1_800_000_000
OWNER, OWNER_PQ, SECOND, THIRD = (
    SigningKey(alg, bytes([n]) * 32) for n, alg in enumerate((ED25519, ML_DSA_65, ED25519, ED25519), 1)
)
RELEASE, ORDER = SigningKey(ED25519, b"r" * 32), SigningKey(ED25519, b"o" * 32)
DEVICE = SigningKey(ES256, b"d" * 32)
DEPOSIT = hpke.DepositKey.from_seed(hpke.DEFAULT_KEM, b"s" * 32)
ACCOUNT, DEVICE_ID = "acc_" + "a" * 22, "dev_" + "d" * 22
CHALLENGE, REQUEST = b"c" * 32, b"q" * 32
HIGH_WATER = (1, 6)


def role(threshold: int, *signers: SigningKey | tuple[SigningKey, ...]) -> Role:
    """Return a role of these principals; a tuple is a hybrid one."""
    groups = [one if isinstance(one, tuple) else (one,) for one in signers]
    return Role(threshold, tuple(Principal(tuple(key.public for key in keys)) for keys in groups))


TRUST = Trust(
    version=3,
    expires=NOW + 1000,
    server="https://models.example:8443",
    pins=(Pin("models.example", None, (b"1" * 32, b"2" * 32)), Pin("store.example", "PEM", (b"3" * 32,))),
    owner=role(1, (OWNER, OWNER_PQ)),
    release=role(1, RELEASE),
    order=role(1, ORDER),
    deposit=(DepositRecipient(DEPOSIT.kem, DEPOSIT.public, NOW + 500),),
    suites=(1,),
    kems=(hpke.MLKEM768_X25519, hpke.X25519, hpke.P256),
    epochs=(("digits", 1),),
)


def thumbprint(signer: SigningKey) -> bytes:
    return hashlib.sha256(signer.public.spki()).digest()


@dataclass
class Exchange:
    """One release from both ends."""

    kem: int = hpke.X25519
    trust: Trust = TRUST
    keys: tuple[ModelKey, ...] = (ModelKey(b"1" * 32), ModelKey(b"2" * 32))
    ephemeral: hpke.EphemeralKey = field(init=False)

    def __post_init__(self) -> None:
        self.ephemeral = hpke.EphemeralKey.generate(self.kem)

    @property
    def binding(self) -> Binding:
        return Binding(
            purpose="release",
            challenge=CHALLENGE,
            kem=self.kem,
            public_key=self.ephemeral.public,
            account=ACCOUNT,
            device=DEVICE_ID,
            device_key=thumbprint(DEVICE),
            platform="linux",
            model="digits",
            version="@stable",
        )

    def lease(self, **changes: object) -> Lease:
        files = tuple(one.head for one in self.files)
        whole = Lease(
            lease_id="lea_" + "l" * 22,
            account=ACCOUNT,
            device=thumbprint(DEVICE),
            model="digits",
            version="1.2",
            files=files,
            issued=NOW,
            expires=NOW + 600,
            max_offline=300,
            request=REQUEST,
            challenge=CHALLENGE,
        )
        return replace(whole, **changes)

    @property
    def files(self) -> tuple[GrantFile, ...]:
        return tuple(
            GrantFile(
                bytes([n]) * 32, bytes([n]) * 16, "model", 1, bytes([n]) * 64, 1000 + n, f"https://store.example/o/{n}"
            )
            for n in range(len(self.keys))
        )

    def unsealed(self, **changes: object) -> Grant:
        whole = Grant(
            release_id="rel_" + "r" * 22,
            request=REQUEST,
            challenge=CHALLENGE,
            account=ACCOUNT,
            device=DEVICE_ID,
            model="digits",
            version="1.2",
            epoch=1,
            counter=7,
            files=self.files,
            urls_expire=NOW + 300,
            latest=Latest("1.2", 7, NOW + 100),
            lease=lease.issue(self.lease(), (RELEASE,)),
            reactions=(),
            server_time=NOW,
        )
        return replace(whole, **changes)

    def grant(self, **changes: object) -> Grant:
        return grants.seal_keys(self.unsealed(**changes), self.binding, self.keys)

    def answer(self, **changes: object) -> ReleaseAnswer:
        return grants.issue(self.grant(**changes), (RELEASE,))

    def read(self, answer: ReleaseAnswer, **changes: object) -> Grant:
        known = {
            "expected_request": REQUEST,
            "expected_challenge": CHALLENGE,
            "account": ACCOUNT,
            "device": DEVICE_ID,
            "model": "digits",
            "selector": "@stable",
            "at": NOW,
            "high_water": HIGH_WATER,
        }
        trust = changes.pop("trust", self.trust)
        return grants.read_grant(answer, trust, **(known | changes))

    def open(self, answer: ReleaseAnswer) -> tuple[ModelKey, ...]:
        return grants.open_grant(self.read(answer), self.ephemeral, self.binding)


@pytest.fixture
def exchange() -> Exchange:
    return Exchange()
