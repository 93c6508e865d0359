"""What vouches for this device: an app's own attestor, or the TPM that keeps its keys (protocol.md sections 16, 17)."""

import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from strongroom.edge.evidence import Activate, Attestor, Requested, TwoKeys
from strongroom.edge.evidence.tpm import TpmAttestor
from strongroom.edge.exchange import Line, Token
from strongroom.edge.keystore import Keystore
from strongroom.edge.keystore.tpm import TpmKeystore
from strongroom.errors import (
    Code,
    DeniedError,
    InputError,
    IntegrityError,
    RefusedError,
    SetupError,
    StrongroomError,
)
from strongroom.wire import second_secret
from strongroom.wire.activation import ActivationAnswer, ActivationRequest
from strongroom.wire.binding import Binding
from strongroom.wire.messages import Evidence

ACTIVATIONS = "/v1/activations"

MOST = 8  # pieces of evidence in one message

_log = logging.getLogger(__name__)


def to_enrol(keystore: Keystore, given: Attestor | None) -> Attestor | None:
    """Return what vouches for this device when it enrols, None if nothing does."""
    if given is None and isinstance(keystore, TpmKeystore):
        return TpmAttestor(keystore)
    return _checked(given)


def to_ask(keystore: Keystore, given: Attestor | None) -> Attestor | None:
    """Return what vouches for this device when it asks for something; a TPM that was never attested does not.

    Raises:
        StoreError: as the keystore.
    """
    if isinstance(keystore, TpmKeystore) and (given is None or isinstance(given, TpmAttestor)):
        return (given or TpmAttestor(keystore)) if keystore.attestation_key() is not None else None
    return _checked(given)


def by_tpm(
    keystore: Keystore, given: Attestor | None, registers: Sequence[int], issuers: Sequence[bytes]
) -> Attestor | None:
    """Return what vouches for a device whose caller said what its TPM is to show; `given` if he said nothing.

    Raises:
        InputError: ARGUMENT, if another attestor vouches for it, or no TPM does, or it has no such registers.
    """
    if not registers and not issuers:
        return given
    if given is not None or not isinstance(keystore, TpmKeystore):
        what = "registers and issuers are of a TPM, and no TPM vouches for this device"
        step = "name its TPM as well, and no other attestor"
        raise InputError(Code.ARGUMENT, what, next_step=step)
    return TpmAttestor(keystore, registers, issuers=issuers)


def prepare(attestor: Attestor | None) -> None:
    """Do what takes a TPM seconds before the office is asked for a challenge. Raises as the TPM."""
    if isinstance(attestor, TpmAttestor):
        attestor.prepare()


def of_enrolment(
    attestor: Attestor | None, line: Line, challenge: bytes, binding: Binding, token: Token
) -> tuple[Evidence, ...]:
    """Return the evidence of an enrolment; none if nothing vouches for this device, or its TPM does not matter.

    An office that asks for no TPM, or does not believe in this one, may serve devices that prove nothing: the TPM keeps
    the device's keys there all the same, and whatever asks for evidence refuses later.

    Args:
        attestor: as `to_enrol` returned it.
        line: the way to the office.
        challenge: of the enrolment.
        binding: what it is for.
        token: the user's.

    Raises:
        StrongroomError: as the attestor, and as `Line.post`.
    """
    if attestor is None:
        return ()

    def activate(keys: TwoKeys) -> bytes:
        request = ActivationRequest(challenge, keys.ek_certificates, keys.ek_public, keys.ak_public)
        answer = line.post(ACTIVATIONS, request.to_bytes(), token, limit=ActivationAnswer.LIMIT)
        return ActivationAnswer.from_bytes(answer).credential

    try:
        return attestor.enrol(binding.digest(), activate)
    except (DeniedError, RefusedError) as error:
        if not isinstance(attestor, TpmAttestor):
            raise
        # keys that nobody attested must not sign quotes as if somebody had
        if error.code == Code.NOT_FOUND:
            attestor.forget()
            _log.warning("no model of this server asks for a TPM: it keeps this device's keys, and vouches for nothing")
        elif error.code == Code.EVIDENCE:
            attestor.refused()
            _log.warning(
                "the server does not believe in this TPM: it keeps this device's keys, and vouches for nothing where "
                "it was not attested before; ask the server's operator to pin its maker, or give --tpm-issuers (%s)",
                error.what,
            )
        else:
            raise
        return ()


def enrolled(attestor: Attestor | None) -> None:
    """Note what the office took at an enrolment. Raises as the TPM."""
    if isinstance(attestor, TpmAttestor):
        attestor.enrolled()


def refused(attestor: Attestor | None) -> None:
    """Forget what the office refused at an enrolment."""
    if isinstance(attestor, TpmAttestor):
        with contextlib.suppress(StrongroomError):  # it does not count, and the next enrolment goes on with it
            attestor.refused()


def of_request(attestor: Attestor | None, binding: Binding) -> tuple[Evidence, ...]:
    """Return the evidence of a request. Raises as the attestor."""
    if attestor is None:
        return ()
    keyless = replace(binding, kem=0, public_key=b"").digest() if binding.kem else b""
    return attestor.request(Requested(binding.digest(), keyless, binding.kem, binding.public_key))


def _checked(given: Attestor | None) -> Attestor | None:
    return given if given is None or isinstance(given, TpmAttestor | _Checked) else _Checked(given)


@dataclass(frozen=True, slots=True)
class _Checked:
    """An attestor that is not ours: its exceptions and its values are looked at before anything is sent."""

    given: Attestor

    @property
    def kind(self) -> str:
        return self.given.kind

    def enrol(self, binding: bytes, activate: Activate) -> tuple[Evidence, ...]:
        """Raises as the attestor, else SetupError (CONFIG) if it failed and InputError (ARGUMENT) for its value."""
        return self._evidence("enrol", lambda: self.given.enrol(binding, activate))

    def request(self, expected: Requested) -> tuple[Evidence, ...]:
        """Raises as `enrol`."""
        return self._evidence("request", lambda: self.given.request(expected))

    def open_credential(self, credential: bytes) -> bytearray:
        """Raises as `enrol`, and IntegrityError (SEALED_KEY) if it has no TPM that could."""
        if getattr(self.given, "open_credential", None) is None:
            what, step = "the keys of a grant are wrapped for a TPM that this device does not use", "enrol it anew"
            raise IntegrityError(Code.SEALED_KEY, what, where=self._name, next_step=step)
        found = self._called("open_credential", lambda: self.given.open_credential(credential))
        if not isinstance(found, bytes | bytearray) or len(found) != second_secret.SIZE:
            raise self._wrong("open_credential", f"anything but {second_secret.SIZE} bytes")
        return found if isinstance(found, bytearray) else bytearray(found)

    def _evidence(self, method: str, call: Callable[[], tuple[Evidence, ...]]) -> tuple[Evidence, ...]:
        found = self._called(method, call)
        if not isinstance(found, tuple | list) or len(found) > MOST:
            raise self._wrong(method, f"no tuple of at most {MOST} pieces of evidence")
        if not all(isinstance(one, Evidence) and _fits(one) for one in found):
            raise self._wrong(method, "something that is no Evidence, or whose kind or size no server takes")
        if len({one.kind for one in found}) != len(found):
            raise self._wrong(method, "two pieces of evidence of one kind")
        return tuple(found)

    def _called(self, method: str, call: Callable[[], object]) -> object:
        try:
            return call()
        except StrongroomError:
            raise
        except Exception as error:
            what = f"this device's attestor failed in {method}: {type(error).__name__}"
            step = "mend it; where its platform can only say no, have it return evidence.unavailable(why)"
            raise SetupError(Code.CONFIG, what, where=self._name, next_step=step) from error

    def _wrong(self, method: str, value: str) -> InputError:
        what = f"this device's attestor returned {value} from {method}"
        step = "see strongroom.edge.evidence.Attestor for what it must return"
        return InputError(Code.ARGUMENT, what, where=self._name, next_step=step)

    @property
    def _name(self) -> str:
        return type(self.given).__qualname__


def _fits(one: Evidence) -> bool:
    try:
        return Evidence.from_bytes(one.to_bytes()) == one
    except Exception:  # noqa: BLE001 - whatever a stranger put into its fields: nothing of it is ours
        return False
