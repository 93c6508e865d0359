"""Play Integrity tokens of the documented shape, minted by joserfc: a hand that shares no code with our decoder."""

import json
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from joserfc import jwe, jws
from joserfc.jwk import ECKey, OctKey

from strongroom.attest.authorities import PlayKeys
from strongroom.canonical import to_base64url
from strongroom.errors import Code, UnreachableError

PACKAGE = "com.example.app"
SIGNER = bytes(range(32))
AT = 1_800_000_000
BINDING = bytes(range(100, 132))
JWE_HEADER = {"alg": "A256KW", "enc": "A256GCM"}


def verdict(*, binding: bytes = BINDING, at: int = AT, **changes: Any) -> dict[str, Any]:
    """Return a verdict as Google documents it, of a classic request; `changes` replace sections, None drops one."""
    value: dict[str, Any] = {
        "requestDetails": {
            "requestPackageName": PACKAGE,
            "nonce": to_base64url(binding),
            "timestampMillis": str(at * 1000),
        },
        "appIntegrity": {
            "appRecognitionVerdict": "PLAY_RECOGNIZED",
            "packageName": PACKAGE,
            "certificateSha256Digest": [to_base64url(SIGNER)],
            "versionCode": "42",
        },
        "deviceIntegrity": {
            "deviceRecognitionVerdict": ["MEETS_BASIC_INTEGRITY", "MEETS_DEVICE_INTEGRITY", "MEETS_STRONG_INTEGRITY"],
            "recentDeviceActivity": {"deviceActivityLevel": "LEVEL_2"},
            "deviceAttributes": {"sdkVersion": 33},
            "deviceRecall": {
                "values": {"bitFirst": True, "bitThird": False},
                "writeDates": {"yyyymmFirst": 202_401},
            },
        },
        "accountDetails": {"appLicensingVerdict": "LICENSED"},
        "environmentDetails": {
            "appAccessRiskVerdict": {"appsDetected": ["KNOWN_INSTALLED", "UNKNOWN_CAPTURING"]},
            "playProtectVerdict": "NO_ISSUES",
        },
    }
    return {name: section for name, section in (value | changes).items() if section is not None}


def requested(**changes: Any) -> dict[str, Any]:
    """Return `requestDetails` with these fields changed; None drops one."""
    return {name: value for name, value in (verdict()["requestDetails"] | changes).items() if value is not None}


@dataclass
class Google:
    """Google, for one app: it holds the app's keys and makes its tokens."""

    aes: OctKey = field(default_factory=lambda: OctKey.generate_key(256))
    signing: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    @property
    def keys(self) -> PlayKeys:
        """What the Play Console shows the app's owner."""
        return PlayKeys(self.aes.raw_value, self.signing.public_key())

    def sign(self, payload: Any, header: dict[str, Any] | None = None) -> bytes:
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        return jws.serialize_compact(header or {"alg": "ES256"}, data, ECKey.import_key(self.signing)).encode()

    def encrypt(self, inner: bytes, header: dict[str, Any] | None = None) -> bytes:
        return jwe.encrypt_compact(header or JWE_HEADER, inner, self.aes).encode()

    def token(self, payload: Any = None) -> bytes:
        """Return a classic token."""
        return self.encrypt(self.sign(verdict() if payload is None else payload))


@dataclass
class MemoryDecoder:
    """A PlayDecoder that knows its tokens by heart. `down`: nobody can say anything."""

    known: dict[bytes, tuple[str, dict[str, Any]]] = field(default_factory=dict)
    down: bool = False
    asked: list[tuple[str, bytes]] = field(default_factory=list)

    def teach(self, token: bytes, package: str, value: dict[str, Any]) -> None:
        self.known[token] = (package, value)

    async def decode(self, package: str, token: bytes) -> bytes:
        self.asked.append((package, token))
        if self.down:
            raise UnreachableError(Code.UNREACHABLE, "Google cannot be reached")
        name, value = self.known.get(token, (None, {}))
        if name != package:
            raise UnreachableError(Code.EVIDENCE, "not a token of this package")
        return json.dumps(value).encode()
