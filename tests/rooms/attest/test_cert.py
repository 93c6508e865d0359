"""Chains to a pinned root: each rule of the path broken alone."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from apple_mint import AT, LEAF, authority_of, below, certificate, name, new_key, root, usage
from strongroom.attest import cert
from strongroom.attest.authorities import Roots
from strongroom.attest.verdict import Refusal, RefusedEvidence

DAY = 86_400
ROOT = root()
ABOVE = below(ROOT)
PINNED = Roots(genuine=(ROOT.cert,))


def leaf(issuer=ABOVE, extensions=LEAF, **bends) -> x509.Certificate:
    return issuer.issue("leaf", new_key(), extensions, **bends)


def refusal(certs, roots=PINNED, at=AT) -> Refusal:
    with pytest.raises(RefusedEvidence) as refused:
        cert.chain(certs, roots, at)
    return refused.value.code


def test_a_chain_to_a_genuine_root_with_or_without_the_root_itself():
    assert cert.chain([leaf(), ABOVE.cert], PINNED, AT) == cert.Anchor(ROOT.cert, stand_in=False)
    assert cert.chain([leaf(), ABOVE.cert, ROOT.cert], PINNED, AT).root == ROOT.cert
    assert cert.chain([leaf(ROOT)], PINNED, AT).root == ROOT.cert


def test_a_stand_in_is_named_one_unless_it_is_genuine_too():
    assert cert.chain([leaf(), ABOVE.cert], Roots(stand_ins=(ROOT.cert,)), AT).stand_in
    assert not cert.chain([leaf(), ABOVE.cert], Roots((ROOT.cert,), (ROOT.cert,)), AT).stand_in


def test_another_root_of_the_same_name_does_not_do():
    """B09: an attacker makes a root with Apple's name and his own key, and sends it along."""
    forged = root(number=200)
    assert forged.cert.subject == ROOT.cert.subject
    assert refusal([leaf(below(forged)), below(forged).cert]) == Refusal.CHAIN
    assert refusal([leaf(below(forged)), below(forged).cert, forged.cert]) == Refusal.CHAIN
    assert refusal([leaf(below(forged)), below(forged).cert, ROOT.cert]) == Refusal.CHAIN
    assert refusal([leaf(), ABOVE.cert], Roots()) == Refusal.CHAIN


def test_the_order_is_the_chain():
    other = below(ROOT, number=102)
    assert refusal([ABOVE.cert, leaf()]) == Refusal.CHAIN
    assert refusal([leaf()]) == Refusal.CHAIN
    assert refusal([leaf(), other.cert]) == Refusal.CHAIN
    assert refusal([leaf(), ABOVE.cert, ABOVE.cert]) == Refusal.CHAIN
    assert refusal([leaf(), leaf(), ABOVE.cert]) == Refusal.CHAIN
    assert refusal([]) == Refusal.CHAIN
    assert refusal([ROOT.cert]) == Refusal.CHAIN


def test_a_leaf_does_not_issue():
    """The attested key itself signs a certificate for a key of the attacker."""
    middle = below(ROOT, extensions=LEAF)
    assert refusal([leaf(middle), middle.cert]) == Refusal.CHAIN
    silent = below(ROOT, extensions=())
    assert refusal([leaf(silent), silent.cert]) == Refusal.CHAIN


def test_an_authority_is_no_leaf():
    assert refusal([ABOVE.cert]) == Refusal.CHAIN


@pytest.mark.parametrize("usages", [(usage(digital_signature=True, crl_sign=True), True), None])
def test_an_authority_must_be_for_signing_certificates(usages):
    extensions = [authority_of()[0], *([usages] if usages else [])]
    middle = below(ROOT, extensions=extensions)
    assert refusal([leaf(middle), middle.cert]) == Refusal.CHAIN


def test_a_root_need_not_say_what_it_is_for_but_may_not_deny_it():
    plain = root(extensions=authority_of()[:1])
    assert cert.chain([leaf(plain)], Roots((plain.cert,)), AT).root == plain.cert
    denied = root(extensions=[authority_of()[0], (usage(digital_signature=True), True)])
    assert refusal([leaf(denied)], Roots((denied.cert,))) == Refusal.CHAIN


def test_the_path_is_as_long_as_its_authorities_say():
    second = below(ABOVE, "below a CA with length 0", number=103)
    assert refusal([leaf(second), second.cert, ABOVE.cert]) == Refusal.CHAIN
    roomy = below(ROOT, extensions=authority_of(1))
    second = below(roomy, "below a CA with length 1", number=103)
    assert cert.chain([leaf(second), second.cert, roomy.cert], PINNED, AT).root == ROOT.cert
    tight = root(extensions=authority_of(0))
    assert refusal([leaf(below(tight)), below(tight).cert], Roots((tight.cert,))) == Refusal.CHAIN


def test_more_certificates_than_anybody_needs_are_not_walked():
    path, above = [], ROOT
    for number in range(6):
        above = below(above, f"CA {number}", number=300 + number, extensions=authority_of())
        path.insert(0, above.cert)
    assert cert.chain([leaf(above, at=AT)][:1] + path[:5], Roots((path[5],)), AT).root == path[5]
    assert refusal([leaf(above), *path]) == Refusal.CHAIN


@pytest.mark.parametrize("days", [(-3, -1), (1, 3)])
def test_every_certificate_is_valid_at_the_time_of_judging(days):
    old = below(ROOT, days=days)
    assert refusal([leaf(days=days), ABOVE.cert]) == Refusal.EXPIRED
    assert refusal([leaf(old), old.cert]) == Refusal.EXPIRED
    gone = root(days=days)
    assert refusal([leaf(below(gone)), below(gone).cert], Roots((gone.cert,))) == Refusal.EXPIRED


def test_validity_ends_with_its_last_second():
    one = [leaf(days=(-1, 3)), ABOVE.cert]
    assert cert.chain(one, PINNED, AT - DAY)
    assert cert.chain(one, PINNED, AT + 3 * DAY)
    assert refusal(one, at=AT - DAY - 1) == Refusal.EXPIRED
    assert refusal(one, at=AT + 3 * DAY + 1) == Refusal.EXPIRED


def test_a_forged_chain_is_called_forged_even_if_it_is_old():
    assert refusal([leaf(below(root(number=200), number=201), days=(-3, -1)), ABOVE.cert]) == Refusal.CHAIN


def test_a_critical_extension_that_nobody_here_understands_is_refused():
    odd = (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True)
    names = (x509.NameConstraints([x509.DNSName("example.org")], None), True)
    assert refusal([leaf(extensions=[*LEAF, odd]), ABOVE.cert]) == Refusal.CHAIN
    bound = below(ROOT, extensions=[*authority_of(0), names])
    assert refusal([leaf(bound), bound.cert]) == Refusal.CHAIN
    assert cert.chain([leaf(extensions=[*LEAF, (odd[0], False)]), ABOVE.cert], PINNED, AT)


def test_weak_keys_and_hashes_are_worth_nothing():
    weak = rsa.generate_private_key(65537, 1024)  # noqa: S505 - what must be refused
    poor = certificate(name("weak"), weak, name("weak"), weak, authority_of(), days=(-9, 9))
    signed = certificate(name("weak"), weak, name("leaf"), new_key(), LEAF, days=(-1, 3))
    assert refusal([signed], Roots((poor,))) == Refusal.CHAIN
    short = certificate(
        ROOT.cert.subject, ROOT.key, name("leaf"), new_key(), LEAF, days=(-1, 3), hashed=hashes.SHA224()
    )
    assert refusal([short], PINNED) == Refusal.CHAIN


def test_a_flipped_signature_bit_breaks_the_chain():
    data = leaf().public_bytes(Encoding.DER)
    for back in (1, 20, 40):
        touched = data[:-back] + bytes([data[-back] ^ 1]) + data[len(data) - back + 1 :]
        assert refusal([cert.load_der(touched), ABOVE.cert]) == Refusal.CHAIN


def test_only_one_certificate_in_der_is_read():
    """A17, I04: a certificate has one encoding, and nothing behind it."""
    data = leaf().public_bytes(Encoding.DER)
    assert cert.load_der(data) == leaf() or cert.load_der(data).public_bytes(Encoding.DER) == data
    pem = leaf().public_bytes(Encoding.PEM)
    for wrong in (b"", data + b"\0", data[:-1], b"\x30\x80" + data[4:] + b"\0\0", pem, bytes(20_000), b"\xff" * 40):
        with pytest.raises(RefusedEvidence) as refused:
            cert.load_der(wrong)
        assert refused.value.code == Refusal.MALFORMED


def test_a_key_that_takes_long_to_read_is_not_read():
    """E14: OpenSSL tests the Diffie-Hellman group of a stranger's key, which takes seconds where its numbers are large.

    Here they are small, and reading them would merely fail: the point is that nobody tries.
    """
    group = dsa.DSAParameterNumbers(2**1023 + 1, 2**159 + 1, 2)
    key = dsa.DSAPrivateNumbers(2, dsa.DSAPublicNumbers(4, group)).private_key()
    signed = certificate(ROOT.cert.subject, ROOT.key, name("leaf"), key, LEAF, days=(-1, 3)).public_bytes(Encoding.DER)
    for oid in ("2a8648ce380401", "2a8648ce3e0201"):  # id-dsa, and dhpublicnumber with numbers of the same form
        with pytest.raises(RefusedEvidence) as refused:
            cert.load_der(signed.replace(bytes.fromhex("2a8648ce380401"), bytes.fromhex(oid)))
        assert refused.value.code == Refusal.UNSUPPORTED


def test_a_bit_that_the_signature_leaves_unused_is_not_free():
    """I04: a signature is written as bits; where the last are 0 they could be called unused, and nobody signs that."""
    for _ in range(64):
        data = leaf().public_bytes(Encoding.DER)
        if data[-1] % 2 == 0:
            break
    start = len(data) - len(leaf_signature(data)) - 1
    assert data[start] == data[-1] % 2 == 0
    x509.load_der_x509_certificate(data[:start] + b"\1" + data[start + 1 :])  # a reader that takes it
    with pytest.raises(RefusedEvidence) as refused:
        cert.load_der(data[:start] + b"\1" + data[start + 1 :])
    assert refused.value.code == Refusal.MALFORMED


def leaf_signature(data: bytes) -> bytes:
    return x509.load_der_x509_certificate(data).signature


def test_an_extension_is_found_by_its_number():
    oid = x509.ObjectIdentifier("1.2.3.4")
    one = leaf(extensions=[*LEAF, (x509.UnrecognizedExtension(oid, b"\x05\x00"), False)])
    assert cert.extension(one, oid) == b"\x05\x00"
    assert cert.extension(leaf(), oid) is None
    assert cert.spki(one) == cert.spki(leaf())
    assert isinstance(one.public_key(), ec.EllipticCurvePublicKey)
