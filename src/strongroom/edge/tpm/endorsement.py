"""The endorsement key: which chip this is, as its maker certified it, and credentials made for it (Part 1, 24).

Unlike our own keys it stands under the TPM's dictionary attack protection: a power cut right after its use counts as
one wrong authorisation, and while the TPM is locked no credential opens.
"""

import contextlib
from collections.abc import Iterator

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import PublicKeyAlgorithmOID

from strongroom.edge.tpm import codes, nv, templates
from strongroom.edge.tpm.commands import Named
from strongroom.edge.tpm.objects import EMPTY, Blob, Objects
from strongroom.edge.tpm.sessions import Authorisation
from strongroom.edge.tpm.templates import EndorsementKey
from strongroom.errors import Code, IntegrityError, StoreError
from strongroom.wire.tpm.constants import Command, Handle
from strongroom.wire.tpm.structs import Public, Reader, Writer

PERSISTENT = 0x81010000  # where endorsement keys are kept (TCG registry of reserved handles, 2.3.1)
MAX_CERTIFICATES = 4
# Kinds of keys that are read, RSA and elliptic curves. Only to read others may take seconds: OpenSSL tests whatever
# Diffie-Hellman group stands in a certificate, and whatever is on the chip's bus may have written it.
_KEYS = frozenset({PublicKeyAlgorithmOID.RSAES_PKCS1_v1_5, PublicKeyAlgorithmOID.EC_PUBLIC_KEY})
_REFUSED = frozenset({codes.VALUE, codes.INTEGRITY, codes.SIZE, codes.INSUFFICIENT, codes.POINT})


def kind_and_certificates(objects: Objects) -> tuple[EndorsementKey, tuple[bytes, ...]] | None:
    """Return the kind of key that is used here and its certificates: DER, leaf first, then issuers if the TPM has any.

    None if the TPM holds no certificate. Raises StoreError.
    """
    held = objects.channel.handles(nv.FIRST)
    for kind in templates.ENDORSEMENT_KEYS:
        if kind.certificate in held:
            leaf = _certificates(nv.read(objects.channel, kind.certificate) or b"")[:1]
            if leaf:
                issuers = [
                    _certificates(nv.read(objects.channel, one) or b"") for one in held if one in templates.ISSUERS
                ]
                return kind, (*leaf, *(one for some in issuers for one in some))[:MAX_CERTIFICATES]
    return None


def public(objects: Objects) -> Public:
    """Return the public area of the key that the first certificate is for.

    Raises:
        StoreError: STORE_IO too, if the TPM holds no certificate, or one for another key.
    """
    known = kind_and_certificates(objects)
    if known is None:
        what = "the TPM holds no certificate of its endorsement key, so nothing can say that it is genuine"
        step = "ask its maker for one; for a swtpm make it with `swtpm_setup --create-ek-cert`"
        raise StoreError(Code.STORE_IO, what, where=objects.channel.where, next_step=step)
    kind, certificates = known
    with key(objects, kind) as (_, found):
        if not _certifies(certificates[0], found):
            what = f"the TPM's certificate is not for its endorsement key of the usual kind, {kind.name}"
            raise StoreError(Code.STORE_IO, what, where=objects.channel.where)
        return found


@contextlib.contextmanager
def key(objects: Objects, kind: EndorsementKey) -> Iterator[tuple[Named, Public]]:
    """Have the endorsement key of a kind in the TPM for the block: the persistent one, or made from its seed."""
    found = next((one for one in _persistent(objects) if kind.template.fits(one[1])), None)
    if found is not None:
        yield found
        return
    name, area = objects.primary(Handle.ENDORSEMENT, kind.template.area)
    try:
        yield name, area
    finally:
        objects.channel.release(name.handle)


def activate(objects: Objects, attestation_key: Blob, credential: bytes) -> bytearray:
    """Open a credential; what was in it passes the bus encrypted, and the caller wipes it.

    Args:
        objects: of the TPM.
        attestation_key: the key it was made for.
        credential: TPM2B_ID_OBJECT and TPM2B_ENCRYPTED_SECRET, one behind the other.

    Raises:
        IntegrityError: SHAPE, if it is no credential; SEALED_KEY, if it was made for another TPM or key, or changed.
        StoreError: as the TPM.
    """
    reader = Reader(credential)
    identity, secret = reader.sized(), reader.sized()
    reader.end()
    kind = next((one for one in templates.ENDORSEMENT_KEYS if one.secret == len(secret)), None)
    if kind is None:
        raise IntegrityError(Code.SHAPE, "a credential for a kind of endorsement key that is not known")
    parameters = Writer().sized(secret).bytes()
    with contextlib.ExitStack() as stack:
        loaded = stack.enter_context(objects.loaded(attestation_key))
        session = stack.enter_context(objects.hmac_session()).encrypting(answer=True)
        ek, _ = stack.enter_context(key(objects, kind))
        leave: Authorisation = stack.enter_context(objects.endorsed()) if kind.by_policy else EMPTY
        auths = [session, leave]
        try:
            return objects.channel.call(
                Command.ACTIVATE_CREDENTIAL, [loaded, ek], parameters, auths, first=identity
            ).secret
        except codes.TpmError as error:
            if error.bare == codes.FAILURE:  # libtpms says so of RSA ciphertext that does not decrypt; go on asking:
                objects.read_public(loaded.handle)  # a TPM that really failed refuses this too
            elif error.bare not in _REFUSED:
                raise
            what = "a credential was made for another TPM or key, or changed on its way"
            raise IntegrityError(Code.SEALED_KEY, what, where=objects.channel.where) from None


def _certifies(certificate: bytes, found: Public) -> bool:
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    try:
        read = x509.load_der_x509_certificate(certificate)
        if read.public_key_algorithm_oid not in _KEYS:
            return False
        return read.public_key().public_bytes(*form) == found.key().public_bytes(*form)
    except (ValueError, UnsupportedAlgorithm, IntegrityError):
        return False


def _persistent(objects: Objects) -> Iterator[tuple[Named, Public]]:
    for handle in objects.channel.handles(PERSISTENT):
        if handle >> 16 != PERSISTENT >> 16:
            return
        area = objects.read_public(handle)
        if area is not None:
            yield Named(handle, area.name()), area


def _certificates(data: bytes) -> list[bytes]:
    """Return the DER certificates that stand one behind the other; makers fill the rest of the place with anything."""
    found = []
    while len(data) > 4 and data[:2] == b"\x30\x82":
        size = 4 + int.from_bytes(data[2:4], "big")
        if size > len(data):
            break
        found.append(data[:size])
        data = data[size:]
    return found
