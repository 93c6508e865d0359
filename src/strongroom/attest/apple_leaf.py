"""What Apple writes into the certificate of an attested key, besides what X.509 knows.

Documented are the nonce and, for a Mac, the policy of its key ("Validating apps that connect to your server"). The rest
is used where something else proves it, or as a signal.
"""

from typing import Final

from cryptography import x509

from strongroom.attest import ber, cert
from strongroom.attest.verdict import RefusedEvidence, malformed

NONCE: Final = x509.ObjectIdentifier("1.2.840.113635.100.8.2")
NONCE_HEAD: Final = bytes.fromhex("3024a1220420")  # SEQUENCE { [1] { OCTET STRING of 32 bytes } }
KEY_USE: Final = x509.ObjectIdentifier("1.2.840.113635.100.8.5")
KEY_POLICY: Final = x509.ObjectIdentifier("1.2.840.113635.100.8.6")
SYSTEM: Final = x509.ObjectIdentifier("1.2.840.113635.100.8.7")
APP_ID: Final = bytes.fromhex("bf8934")  # [1204] of KEY_USE
OS_VERSION: Final = bytes.fromhex("bf8a78")  # [1400] of SYSTEM
MAC: Final = "macosx"  # in SYSTEM
MOST_TEXT: Final = 256  # characters
# The one policy to be trusted of a Mac: its key signs with System Integrity Protection and Full Security on. Apple's
# text gives these bytes, says that they never change, and that no other policy is to be trusted.
MAC_POLICY: Final = bytes.fromhex(
    "30400c023131303a30090c026f6ba1030101ff30090c026f61a1030101ff"
    "300b0c046f64656ca1030101ff30150c046f73676ea0060c04727365633005a603020101"
)
_CONTEXT, _CLASS = 0xA0, 0xE0  # an identifier's first byte: explicit context tags, and the bits that say so


def nonce(leaf: x509.Certificate) -> bytes:
    """Return the 32 bytes that Apple signed for. Raises RefusedEvidence: malformed."""
    found = cert.extension(leaf, NONCE)
    if found is None or len(found) != len(NONCE_HEAD) + 32 or not found.startswith(NONCE_HEAD):
        raise malformed("the leaf certificate carries no nonce")
    return found[len(NONCE_HEAD) :]


def app_ids(leaf: x509.Certificate) -> tuple[str, ...]:
    """Return the applications that the leaf names; none if it does not do so as it used to."""
    return tuple(text for tag, text in _texts(leaf, KEY_USE) if tag == APP_ID)


def os_version(leaf: x509.Certificate) -> str:
    """Return the version of the system, "" where it is not told."""
    return next((text for tag, text in _texts(leaf, SYSTEM) if tag == OS_VERSION), "")


def is_mac(leaf: x509.Certificate) -> bool:
    """Whether the leaf says that the key is a Mac's."""
    return any(text == MAC for _, text in _texts(leaf, SYSTEM))


def key_policy(leaf: x509.Certificate) -> bytes:
    """Return what the Secure Enclave asks for before it signs with the key, b"" where it is not told.

    Apple documents "a sequence with a single octet string", and its certificates have a tag around that.

    Raises:
        RefusedEvidence: malformed.
    """
    value = cert.extension(leaf, KEY_POLICY)
    if value is None:
        return b""
    inside = ber.each(ber.only(value, ber.SEQUENCE))
    if len(inside) != 1:
        raise malformed("the leaf certificate has not one key policy")
    if inside[0].tag[0] & _CLASS == _CONTEXT:
        return ber.only(inside[0].body, ber.OCTETS)
    return ber.octets(inside[0])


def _texts(leaf: x509.Certificate, oid: x509.ObjectIdentifier) -> tuple[tuple[bytes, str], ...]:
    """Return tag and text of each entry of one of Apple's lists that is a text."""
    try:
        entries = ber.each(ber.only(cert.extension(leaf, oid) or b"", ber.SEQUENCE))
    except RefusedEvidence:
        return ()
    found: list[tuple[bytes, str]] = []
    for one in entries:
        try:
            text = ber.only(one.body, ber.OCTETS).decode("ascii")
        except (RefusedEvidence, UnicodeDecodeError):
            continue
        if text.isprintable() and len(text) <= MOST_TEXT:
            found.append((one.tag, text))
    return tuple(found)
