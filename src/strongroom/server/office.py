"""The office: everything the use cases may touch, picked once by `wiring.py` and never changed."""

from collections.abc import Callable
from dataclasses import dataclass, field

from strongroom.canonical import to_base64url
from strongroom.server.attestation import Attestation
from strongroom.server.bait.board import Traps
from strongroom.server.limits import Limits
from strongroom.server.policy import Policy
from strongroom.server.ports import Counters, KeyVault, Ledger, ObjectStore
from strongroom.server.tokens import TokenIssuer
from strongroom.server.watch import Watch
from strongroom.signing import Signer
from strongroom.wire.hpke import DepositKey
from strongroom.wire.trust import Trust


def new_id(prefix: str, random: Callable[[int], bytes]) -> str:
    """Make an opaque identifier: a prefix of 2 to 4 letters and 16 random bytes."""
    return f"{prefix}_{to_base64url(random(16))}"


@dataclass(frozen=True, slots=True)
class Office:
    """The pieces of one running strongroom.

    Attributes:
        ledger: the truth.
        vault: wraps keys and MACs rows.
        store: ciphertext by opaque name.
        counters: what was seen already, for a while.
        release_signers: sign grants, leases and renewals (role `release` of trust.json).
        order_signers: sign wipe orders (role `order`).
        deposit_keys: open what publishers deposit (role `deposit`).
        tokens: issues and reads access tokens.
        trust: the newest trust document, read.
        trust_documents: every signed trust document; index 0 is version 1.
        policy: lifetimes and algorithms.
        attestation: what each model asks of a device, and how that is judged; there is no default.
        limits: how often who may ask.
        watch: the rules of the risk engine, which alone may change while the office is open.
        public_url: where devices reach the device API, without a trailing slash; proofs are made over it.
        admin_url: where operators reach the admin API, or "".
        now: Unix seconds; asked once an operation.
        random: cryptographically strong bytes.
        traps: the decoys that this process knows.
    """

    ledger: Ledger
    vault: KeyVault
    store: ObjectStore
    counters: Counters
    release_signers: tuple[Signer, ...] = field(repr=False)
    order_signers: tuple[Signer, ...] = field(repr=False)
    deposit_keys: tuple[DepositKey, ...] = field(repr=False)
    tokens: TokenIssuer = field(repr=False)
    trust: Trust
    trust_documents: tuple[tuple[str, ...], ...] = field(repr=False)
    policy: Policy
    attestation: Attestation
    limits: Limits
    watch: Watch
    public_url: str
    admin_url: str
    now: Callable[[], int]
    random: Callable[[int], bytes]
    traps: Traps = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "traps", Traps(self.vault.mac))

    def new_id(self, prefix: str) -> str:
        """Make an opaque identifier from this office's randomness."""
        return new_id(prefix, self.random)
