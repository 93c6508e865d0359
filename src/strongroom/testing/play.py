"""A stand-in for Play Integrity: verdicts as Google writes them, and classic tokens around them.

A classic token is a JWS inside a JWE (A256KW, A256GCM, ES256). A standard one only Google can open, so the kit also
answers in Google's place: as it answers about testers, whose verdicts the app's owner wrote.
"""

import base64
import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import aes_key_wrap

from strongroom.attest.authorities import Authorities, PlayKeys
from strongroom.attest.play import Decoded
from strongroom.canonical import to_base64url
from strongroom.errors import Code, UnreachableError
from strongroom.testing.authority import Random, fresh_key, signed, warn_of

Verdict = dict[str, Any]


class TestPlay:
    """Google and the Play Console of one app, as a test has them.

    Args:
        package: the app's name.
        signers: SHA-256 digests of its signing certificates; one is made up if there is none.
        version: its version code.
        random: what keys are drawn from. With the same bytes and times it mints the same evidence.
    """

    __test__ = False  # pytest takes every class of this name for a test

    def __init__(
        self,
        package: str,
        *,
        signers: tuple[bytes, ...] = (),
        version: int = 1,
        random: Random = secrets.token_bytes,
    ) -> None:
        warn_of("TestPlay")
        self.package, self.version = package, version
        self.signers = signers or (hashlib.sha256(f"signer of {package}".encode()).digest(),)
        self._random = random
        self._key = fresh_key(ec.SECP256R1(), random)
        self.keys = PlayKeys(random(32), self._key.public_key())
        self._said: dict[bytes, bytes] = {}  # SHA-256 of a standard token to its verdict

    def among(self, authorities: Authorities) -> Authorities:
        """Return the authorities with this app's keys, marked as a stand-in's."""
        return replace(
            authorities,
            play={**authorities.play, self.package: self.keys},
            play_stand_ins=authorities.play_stand_ins | {self.package},
        )

    def verdict(
        self,
        binding: bytes,
        at: int,
        *,
        labels: tuple[str, ...] = ("MEETS_BASIC_INTEGRITY", "MEETS_DEVICE_INTEGRITY", "MEETS_STRONG_INTEGRITY"),
        recognition: str = "PLAY_RECOGNIZED",
        licensing: str = "LICENSED",
        classic: bool = False,
    ) -> Verdict:
        """Return a verdict, to be changed at will before it goes into `token` or `standard`.

        Args:
            binding: what the app asked for the token with.
            at: Unix seconds of the request.
            labels: of the device; () for one that Google does not recognize.
            recognition: PLAY_RECOGNIZED, UNRECOGNIZED_VERSION or UNEVALUATED; the last leaves the app out.
            licensing: LICENSED, UNLICENSED or UNEVALUATED.
            classic: whether the binding is a `nonce` (classic) or a `requestHash` (standard).
        """
        request = {
            "requestPackageName": self.package,
            "nonce" if classic else "requestHash": to_base64url(binding),
            "timestampMillis": str(at * 1000),
        }
        app: Verdict = {"appRecognitionVerdict": recognition}
        if recognition != "UNEVALUATED":
            app |= {
                "packageName": self.package,
                "certificateSha256Digest": [_text(one) for one in self.signers],
                "versionCode": str(self.version),
            }
        return {
            "requestDetails": request,
            "appIntegrity": app,
            "deviceIntegrity": {"deviceRecognitionVerdict": list(labels)} if labels else {},
            "accountDetails": {"appLicensingVerdict": licensing},
        }

    def token(self, verdict: Mapping[str, Any]) -> bytes:
        """Return a classic token, signed and encrypted with the app's keys: the evidence that is sent."""
        return self._token(verdict, self.keys.decryption)

    def standard(self, verdict: Mapping[str, Any]) -> bytes:
        """Return a standard token, which nobody opens with the app's keys, and remember what it says for `decode`."""
        token = self._token(verdict, self._random(32))
        told = {**verdict, "testingDetails": {"isTestingResponse": True}}  # as Google answers about its testers
        self._said[hashlib.sha256(token).digest()] = _json(told)
        return token

    def decoded(self, token: bytes) -> Decoded:
        """Return what Google says of a standard token, for a judge that is called without a server.

        Raises:
            UnreachableError: EVIDENCE, if it is not one of this kit.
        """
        digest = hashlib.sha256(token).digest()
        if digest not in self._said:
            raise UnreachableError(Code.EVIDENCE, "no token of this app", where="TestPlay")
        return Decoded(self.package, digest, self._said[digest])

    async def decode(self, package: str, token: bytes) -> bytes:
        """Answer in Google's place: a server takes this kit for its port `PlayDecoder`.

        Raises:
            UnreachableError: EVIDENCE, if it is not a standard token of this app.
        """
        if package != self.package:
            raise UnreachableError(Code.EVIDENCE, "no token of this app", where="TestPlay")
        return self.decoded(token).verdict

    def _token(self, verdict: Mapping[str, Any], decryption: bytes) -> bytes:
        inner = f"{_part({'alg': 'ES256'})}.{to_base64url(_json(verdict))}".encode()
        r, s = decode_dss_signature(signed(self._key, inner))
        inner += b"." + to_base64url(r.to_bytes(32, "big") + s.to_bytes(32, "big")).encode()
        content_key, nonce = self._random(32), self._random(12)
        outer = _part({"alg": "A256KW", "enc": "A256GCM"})
        # RFC 7516 section 5.1: the encoded header is what is authenticated beside the text
        sealed = AESGCM(content_key).encrypt(nonce, inner, outer.encode())
        parts = (aes_key_wrap(decryption, content_key), nonce, sealed[:-16], sealed[-16:])
        return ".".join((outer, *map(to_base64url, parts))).encode()


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _part(value: Mapping[str, Any]) -> str:
    return to_base64url(_json(value))


def _text(digest: bytes) -> str:
    """Return a digest as Google writes it: base64url, padded."""
    return base64.urlsafe_b64encode(digest).decode()
