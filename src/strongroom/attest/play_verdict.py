"""The verdict of Play Integrity: a JSON object that Google may add to, of which only what is named here is read.

What Google did not evaluate is absent, and stays empty here: it is for the policy to say whether that is enough. What
is there in another type or spelling than documented is malformed.
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from strongroom.attest.claims import AFFIRMING, CONTRAINDICATED, NO_CLAIM, VECTOR, WARNING, Level
from strongroom.attest.play_token import read_object
from strongroom.attest.verdict import malformed

STRONG, DEVICE, BASIC = "MEETS_STRONG_INTEGRITY", "MEETS_DEVICE_INTEGRITY", "MEETS_BASIC_INTEGRITY"
MAX_WORDS = 16  # in one list; Google documents four labels and eight kinds of risky apps

_LEVELS = ((STRONG, Level.HARDWARE), (DEVICE, Level.DEVICE))
_WORD = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_PACKAGE = re.compile(r"[A-Za-z][A-Za-z0-9_]*(?:\.[A-Za-z][A-Za-z0-9_]*)+")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,15}")
_DIGEST = re.compile(r"[A-Za-z0-9_-]{43}=?|[0-9A-Fa-f]{64}")
_BITS = ("bitFirst", "bitSecond", "bitThird")

_Object = Mapping[str, object]
_NOTHING: _Object = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Verdict:
    """The parts of a verdict that are read.

    Attributes:
        asked_for: package that the token was asked for; the app could have claimed another.
        request_hash: of a standard request, None if absent.
        nonce: of a classic request, None if absent.
        milliseconds: Unix time at which Google prepared it.
        recognition: appRecognitionVerdict, "" if absent.
        package: of the app that Google saw, "" if it did not evaluate it.
        signers: SHA-256 digests of that app's signing certificates.
        version: its versionCode, in decimal; "" if absent.
        labels: deviceRecognitionVerdict.
        licensing: appLicensingVerdict, "" if absent.
        signals: for the risk engine.
        testing: whether the verdict was written by the app's owner for a tester's account.
    """

    asked_for: str
    request_hash: str | None
    nonce: str | None
    milliseconds: int
    recognition: str
    package: str
    signers: tuple[bytes, ...]
    version: str
    labels: tuple[str, ...]
    licensing: str
    signals: Mapping[str, str | int]
    testing: bool

    @property
    def level(self) -> Level:
        """What Google's labels say of the device. Without a label it is software, of which nothing is known."""
        return next((level for label, level in _LEVELS if label in self.labels), Level.SOFTWARE)

    @property
    def trust(self) -> dict[str, int]:
        """The AR4SI trust vector."""
        recognized = {"PLAY_RECOGNIZED": AFFIRMING, "UNRECOGNIZED_VERSION": CONTRAINDICATED}
        strong, certified = STRONG in self.labels, self.level != Level.SOFTWARE
        return dict.fromkeys(VECTOR, NO_CLAIM) | {
            "configuration": AFFIRMING if certified else WARNING if self.labels else NO_CLAIM,
            "executables": recognized.get(self.recognition, NO_CLAIM),
            "hardware": AFFIRMING if strong else NO_CLAIM if self.labels else CONTRAINDICATED,
        }


def read(data: bytes) -> Verdict:
    """Read a verdict as Google writes it.

    Raises:
        RefusedEvidence: MALFORMED.
    """
    whole = read_object(data, "the verdict")
    request, app, device = (_object(whole, name) for name in ("requestDetails", "appIntegrity", "deviceIntegrity"))
    return Verdict(
        asked_for=_text(request, "requestPackageName", _PACKAGE),
        request_hash=_optional(request, "requestHash"),
        nonce=_optional(request, "nonce"),
        milliseconds=int(_number(request, "timestampMillis") or "0"),
        recognition=_text(app, "appRecognitionVerdict", _WORD),
        package=_text(app, "packageName", _PACKAGE),
        signers=tuple(_digest(one) for one in _texts(app, "certificateSha256Digest", _DIGEST)),
        version=_number(app, "versionCode"),
        labels=_texts(device, "deviceRecognitionVerdict", _WORD),
        licensing=_text(_object(whole, "accountDetails"), "appLicensingVerdict", _WORD),
        signals=_signals(device, _object(whole, "environmentDetails")),
        testing=_flag(_object(whole, "testingDetails"), "isTestingResponse"),
    )


def _signals(device: _Object, environment: _Object) -> dict[str, str | int]:
    found: dict[str, str | int] = {
        "device_activity": _text(_object(device, "recentDeviceActivity"), "deviceActivityLevel", _WORD),
        "device_recall": _recall(_object(_object(device, "deviceRecall"), "values")),
        "play_protect": _text(environment, "playProtectVerdict", _WORD),
        "app_access_risk": ",".join(_texts(_object(environment, "appAccessRiskVerdict"), "appsDetected", _WORD)),
    }
    sdk = _number(_object(device, "deviceAttributes"), "sdkVersion")
    return {name: value for name, value in found.items() if value} | ({"sdk_version": int(sdk)} if sdk else {})


def _recall(values: _Object) -> str:
    """Return the three bits an app's owner has set for this device, "-" for what is not said: "1-0"; "" for none."""
    bits = "".join("-" if name not in values else "1" if _flag(values, name) else "0" for name in _BITS)
    return bits if bits != "---" else ""


def _object(value: _Object, name: str) -> _Object:
    found = value.get(name, _NOTHING)
    if not isinstance(found, Mapping):
        raise malformed(f"{name} is no object")
    return found


def _optional(value: _Object, name: str) -> str | None:
    found = value.get(name)
    if name in value and not isinstance(found, str):
        raise malformed(f"{name} is no text")
    return found if isinstance(found, str) else None


def _text(value: _Object, name: str, pattern: re.Pattern[str]) -> str:
    found = _optional(value, name)
    if found and not (len(found) <= 256 and pattern.fullmatch(found)):
        raise malformed(f"{name} is not as documented")
    return found or ""


def _texts(value: _Object, name: str, pattern: re.Pattern[str]) -> tuple[str, ...]:
    found = value.get(name, [])
    if not isinstance(found, list) or len(found) > MAX_WORDS:
        raise malformed(f"{name} is no list of at most {MAX_WORDS}")
    words = tuple(one for one in found if isinstance(one, str) and pattern.fullmatch(one))
    if len(words) != len(found):
        raise malformed(f"{name} is not as documented")
    return words


def _number(value: _Object, name: str) -> str:
    """Return a number in decimal, "" if absent: Google writes those of 64 bits as texts, the others as numbers."""
    found = value.get(name, "")
    text = str(found) if isinstance(found, (str, int)) else "-"
    if text and not _NUMBER.fullmatch(text):
        raise malformed(f"{name} is no number")
    return text


def _flag(value: _Object, name: str) -> bool:
    found = value.get(name, False)
    if not isinstance(found, bool):
        raise malformed(f"{name} is neither true nor false")
    return found


def _digest(text: str) -> bytes:
    """Read SHA-256 in base64url, as Google writes it, or in hexadecimal; their lengths tell them apart."""
    return bytes.fromhex(text) if len(text) == 64 else base64.urlsafe_b64decode(text.removesuffix("=") + "=")
