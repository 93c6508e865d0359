"""Make the authorities that a policy file names: from its files' bytes, which the caller reads.

What is missing, unreadable or too old stops the caller, with file and line of whoever named it: a server that began
without a root would refuse every device, and one without a revocation list would not notice.
"""

import base64
import binascii
from collections.abc import Callable
from dataclasses import replace

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from strongroom.attest import revocation, roots
from strongroom.attest.authorities import Authorities, PlayKeys, RevocationList, Roots
from strongroom.attest.policy_file import PlayFiles, Sources
from strongroom.errors import Code, InputError, IntegrityError, SetupError, StrongroomError

Read = Callable[[str], bytes]  # the bytes of a file that a policy names
Changed = Callable[[str], int]  # when it was last written, Unix seconds

AES_KEY = 32  # bytes
_DAY = 86_400
_UNITS = ((_DAY, "days"), (3600, "hours"), (60, "minutes"), (1, "seconds"))


def load(read: Read, changed: Changed, sources: Sources, at: int) -> Authorities:
    """Return the genuine authorities and those that a policy file names.

    Args:
        read: returns a file's bytes, by the name that stands in the policy file; its errors of ours pass, with the
            place that named the file added.
        changed: returns when a file was written, for a revocation list that does not say when it was fetched.
        sources: what the policy file names.
        at: Unix seconds, for the age of the revocation list.

    Raises:
        SetupError: CONFIG, with file and line: something cannot be read or is not what it must be, or the revocation
            list is too old, or dated more than a day in the future.
        StrongroomError: what `read` raises.
    """
    tpm = tuple(one for name in sources.tpm_roots for one in _roots(read, sources, "tpm_roots", name))
    stand_ins = tuple(one for name in sources.stand_ins for one in _roots(read, sources, "stand_ins", name))
    keys = {package: _play_keys(read, sources, package, files) for package, files in sources.play.items()}
    if sources.play_service_account is not None:  # its adapter reads it again; here it is only seen to be there
        _named(read, sources, "play_service_account", sources.play_service_account)
    made = with_stand_ins(roots.production(tpm=tpm, revoked=revoked(read, changed, sources, at), play=keys), stand_ins)
    return replace(made, play_stand_ins=frozenset(name for name, one in sources.play.items() if one.stand_in))


def revoked(read: Read, changed: Changed, sources: Sources, at: int) -> RevocationList | None:
    """Return the revocation list alone, None if none is named: it changes while a server runs.

    Raises:
        SetupError: CONFIG, as `load`.
        StrongroomError: what `read` raises.
    """
    name = sources.revocation_list
    if name is None:
        return None
    data = _named(read, sources, "revocation_list", name)
    where = _where(sources, "revocation_list", name)
    try:
        found = revocation.read(data, fetched=changed(name), max_age=sources.revocation_max_age)
    except IntegrityError as error:
        step = "fetch it again from Google's status URL"
        raise SetupError(Code.CONFIG, f"not a revocation list: {error.what}", where=where, next_step=step) from None
    if found.fetched > at + _DAY:
        what = f"the revocation list is dated {(found.fetched - at) // _DAY} days in the future, and would not grow old"
        step = "fetch it anew, and see that the clocks of this machine and of whoever fetches it are right"
        raise SetupError(Code.CONFIG, what, where=where, next_step=step)
    if at - found.fetched > found.max_age:
        length, unit = next(one for one in _UNITS if found.max_age >= 2 * one[0] or one[0] == 1)
        old = -((found.fetched - at) // length)  # rounded up: it is never as old as is allowed
        what = f"the revocation list is {old} {unit} old, and {found.max_age // length} are allowed"
        step = "fetch it anew, and see why the job that does so has stopped"
        raise SetupError(Code.CONFIG, what, where=where, next_step=step)
    return found


def with_stand_ins(authorities: Authorities, stand_ins: tuple[x509.Certificate, ...]) -> Authorities:
    """Return the same authorities with test roots beside the genuine ones of every platform."""

    def beside(some: Roots) -> Roots:
        return replace(some, stand_ins=(*some.stand_ins, *stand_ins))

    return replace(
        authorities,
        apple=beside(authorities.apple),
        apple_receipts=beside(authorities.apple_receipts),
        android=beside(authorities.android),
        tpm=beside(authorities.tpm),
    )


def certificates(data: bytes, where: str) -> tuple[x509.Certificate, ...]:
    """Return the certificates of a PEM file, or the one of a DER file.

    Raises:
        SetupError: CONFIG.
    """
    try:
        if b"-----BEGIN" not in data:
            return (x509.load_der_x509_certificate(data),)
        return tuple(x509.load_pem_x509_certificates(data))
    except (ValueError, UnsupportedAlgorithm):
        what = "this file holds no certificates that can be read"
        raise SetupError(Code.CONFIG, what, where=where, next_step="name a PEM file of root certificates") from None


def play_keys(decryption: bytes, verification: bytes, where: str) -> PlayKeys:
    """Return an app's keys from the two texts that the Play Console shows, or the same in other spellings.

    Raises:
        SetupError: CONFIG; nothing of a key is in it.
    """
    step = "copy both keys from the Play Console: App integrity, response encryption"
    key = decryption if len(decryption) == AES_KEY else _unbase64(decryption)
    if len(key) != AES_KEY:
        raise SetupError(Code.CONFIG, "the decryption key is not one of AES-256", where=where, next_step=step)
    try:
        if b"-----BEGIN" in verification:
            public = serialization.load_pem_public_key(verification)
        else:
            der = verification if verification.startswith(b"\x30") else _unbase64(verification)
            public = serialization.load_der_public_key(der)
    except (ValueError, UnsupportedAlgorithm):
        public = None
    if not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP256R1):
        raise SetupError(Code.CONFIG, "the verification key is not one of P-256", where=where, next_step=step)
    return PlayKeys(key, public)


def _roots(read: Read, sources: Sources, field: str, name: str) -> tuple[x509.Certificate, ...]:
    return certificates(_named(read, sources, field, name), _where(sources, field, name))


def _play_keys(read: Read, sources: Sources, package: str, files: PlayFiles) -> PlayKeys:
    decryption, verification = (_named(read, sources, package, one) for one in (files.decryption, files.verification))
    return play_keys(decryption, verification, _where(sources, package, package))


def _named(read: Read, sources: Sources, field: str, name: str) -> bytes:
    """Read a file; an error says who named it."""
    try:
        return read(name)
    except StrongroomError as error:
        where = _where(sources, field, error.where or name)
        if isinstance(error, InputError):  # whoever wrote the policy must act, not whoever called
            raise SetupError(Code.CONFIG, error.what, where=where, next_step=error.next_step) from None
        error.where = where
        raise


def _where(sources: Sources, field: str, name: str) -> str:
    place = sources.places.get(field)
    return f"{name}, named in {place}" if place else name


def _unbase64(data: bytes) -> bytes:
    """Decode base64 of either alphabet; b"" if it is none."""
    try:
        text = b"".join(data.split()).translate(bytes.maketrans(b"-_", b"+/")).rstrip(b"=")
        return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""
