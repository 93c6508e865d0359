"""Every error strongroom raises on purpose: one tree, ordered by who must act.

A family says who has to do something, a `Code` says what happened. Codes are stable: scripts and problem bodies
carry them, so a code is never renamed or reused. Secrets never enter an error: callers pass names and sizes only.
"""

from enum import StrEnum
from typing import ClassVar


class Code(StrEnum):
    """What happened, in one stable word. Append only."""

    # bytes that do not follow a grammar (canonical JSON, names, message shapes)
    JSON_NOT_CANONICAL = "json-not-canonical"
    JSON_TOO_LARGE = "json-too-large"
    SHAPE = "shape"
    NAME = "name"
    PATH = "path"
    ARGUMENT = "argument"

    # the sealed file (docs/spec/sealed-file.md)
    FILE_FORMAT = "file-format"
    FILE_UNSUPPORTED = "file-unsupported"
    FILE_LIMIT = "file-limit"
    FILE_TRUNCATED = "file-truncated"
    FILE_TRAILING = "file-trailing"
    FILE_SIGNATURE = "file-signature"
    FILE_KEY_SIZE = "file-key-size"
    FILE_WRONG_KEY = "file-wrong-key"
    FILE_HEADER_MAC = "file-header-mac"
    FILE_SUBJECT = "file-subject"
    FILE_KIND = "file-kind"
    FILE_DIGEST = "file-digest"
    FILE_SEGMENT = "file-segment"
    FILE_CONTENT = "file-content"
    FILE_CHECKSUM = "file-checksum"
    FILE_MISMATCH = "file-mismatch"
    FILE_REFUSED = "file-refused"
    FILE_SOURCE_CHANGED = "file-source-changed"

    # what travels (docs/spec/protocol.md)
    SIGNATURE = "signature"
    TRUST_EXPIRED = "trust-expired"
    TRUST_VERSION = "trust-version"
    TRUST_THRESHOLD = "trust-threshold"
    KEM_UNSUPPORTED = "kem-unsupported"
    PUBLIC_KEY = "public-key"
    SEALED_KEY = "sealed-key"
    GRANT_MISMATCH = "grant-mismatch"
    GRANT_ROLLBACK = "grant-rollback"
    GRANT_FROZEN = "grant-frozen"
    LEASE_MISMATCH = "lease-mismatch"
    LEASE_EXPIRED = "lease-expired"
    ORDER_MISMATCH = "order-mismatch"
    ORDER_EXPIRED = "order-expired"

    # what the server answers
    UNAUTHENTICATED = "unauthenticated"
    TOKEN = "token"  # noqa: S105 - the word for a refusal, not a token
    PROOF = "proof"
    CHALLENGE = "challenge"
    KEY_REUSED = "key-reused"
    EVIDENCE = "evidence"
    ATTESTATION_NEEDED = "attestation-needed"
    NOT_FOUND = "not-found"
    FORBIDDEN = "forbidden"
    CONFLICT = "conflict"
    TOO_LARGE = "too-large"
    URL_EXPIRED = "url-expired"
    URL_INVALID = "url-invalid"
    URL_LIFETIME = "url-lifetime"
    DEPOSIT = "deposit"
    ORDER_PENDING = "order-pending"
    RESTRICTED = "restricted"
    STEP_UP = "step-up"
    RATE_LIMITED = "rate-limited"
    RECEIPT = "receipt"
    RANGE = "range"
    METHOD = "method"
    CONTENT_TYPE = "content-type"
    TIMEOUT = "timeout"
    INTERNAL = "internal"

    # the machine and its set-up
    CONFIG = "config"
    MISSING_EXTRA = "missing-extra"
    ALREADY_THERE = "already-there"
    NOT_INITIALISED = "not-initialised"
    NOT_ENROLLED = "not-enrolled"
    NOT_INSTALLED = "not-installed"
    PERMISSIONS = "permissions"
    LOCKED = "locked"
    STORE_DAMAGED = "store-damaged"
    STORE_IO = "store-io"
    DISK_FULL = "disk-full"
    MEMORY = "memory"
    CLOSED = "closed"
    CLOCK = "clock"
    WIPED = "wiped"
    VAULT_SEALED = "vault-sealed"
    VAULT_REFUSED = "vault-refused"
    DATABASE = "database"
    RUNTIME = "runtime"

    # the way between
    UNREACHABLE = "unreachable"
    PIN_MISMATCH = "pin-mismatch"
    CERTIFICATE = "certificate"
    ANSWER = "answer"


class StrongroomError(Exception):
    """Root of the tree; never raised itself.

    Attributes:
        code: stable word for scripts.
        what: one sentence that says what happened, without secrets.
        where: the file, field, model or URL it happened at, or "".
        next_step: what to do or run next, or "".
        reference: of a server's refusal: what its operator finds the reason under, or "".
        retry_after: seconds that the server asks to wait, or None.
    """

    exit_code: ClassVar[int] = 1
    reference: str = ""
    retry_after: int | None = None

    def __init__(self, code: Code, what: str, *, where: str = "", next_step: str = "") -> None:
        super().__init__(what)
        self.code = code
        self.what = what
        self.where = where
        self.next_step = next_step

    def __str__(self) -> str:
        text = f"{self.what} ({self.where})" if self.where else self.what
        return f"{text} [{self.code}]" + (f"; {self.next_step}" if self.next_step else "")

    def to_value(self) -> dict[str, str]:
        """Return the four fields for `--json` output."""
        return {"code": str(self.code), "what": self.what, "where": self.where, "next": self.next_step}


class InputError(StrongroomError):
    """The caller must act: an argument, a name, a path or a message is not valid."""

    exit_code = 2


class SetupError(StrongroomError):
    """The operator of this machine must act: configuration, missing extra, missing key, database."""


class StoreError(StrongroomError):
    """The machine must be looked at: its disk is full, failing, damaged or held by another process."""


class DeniedError(StrongroomError):
    """The account must act: authentication is needed, or what was asked for is not its to have."""

    exit_code = 4


class IntegrityError(StrongroomError):
    """Whoever made or carried the bytes must act: they were altered, cut, or belong to another key."""

    exit_code = 5


class RefusedError(StrongroomError):
    """Policy said no: a lease is over, a version is older than one seen, trust has expired."""

    exit_code = 6


class UnreachableError(StrongroomError):
    """The network or the other side must act: no connection, a wrong pin, an answer that is no answer."""

    exit_code = 7


class InternalError(StrongroomError):
    """We must act: something that cannot happen did. Please report it with its code."""
