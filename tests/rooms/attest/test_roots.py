"""The pinned roots are those that were meant, and nobody else's."""

import hashlib

from cryptography.hazmat.primitives.serialization import Encoding

from apple_mint import AT, Mint, root
from strongroom.attest.authorities import RevocationList
from strongroom.attest.roots import production

EXPECTED = {  # as Apple and Google publish them
    "apple": ["1cb9823ba28ba6ad2d33a006941de2ae4f513ef1d4e831b9f7e0fa7b6242c932"],
    "apple_receipts": ["63343abfb89a6a03ebb57e9b3f5fa7be7c4f5c756f3017b3a8c488c3653e9179"],
    "android": [
        "cedb1cb6dc896ae5ec797348bce9286753c2b38ee71ce0fbe34a9a1248800dfc",
        "6d9db4ce6c5c0b293166d08986e05774a8776ceb525d9e4329520de12ba4bcc0",
    ],
}


def test_the_roots_are_the_published_ones_and_sign_themselves():
    authorities = production()
    for kind, digests in EXPECTED.items():
        roots = getattr(authorities, kind)
        assert [hashlib.sha256(one.public_bytes(Encoding.DER)).hexdigest() for one in roots.genuine] == digests
        for one in roots.genuine:
            one.verify_directly_issued_by(one)
            assert one.not_valid_before_utc.timestamp() < AT < one.not_valid_after_utc.timestamp()


def test_production_holds_no_stand_in_and_nothing_by_default():
    authorities = production()
    kinds = (authorities.apple, authorities.apple_receipts, authorities.android, authorities.tpm)
    assert [kind.stand_ins for kind in kinds] == [()] * 4
    assert authorities.tpm.genuine == ()
    assert authorities.revoked is None
    assert not authorities.play
    assert not authorities.play_stand_ins
    assert Mint().root.cert not in authorities.apple.genuine


def test_what_the_operator_adds_is_there():
    listed = RevocationList({}, AT, 60)
    tpm = root("A TPM maker's root").cert
    authorities = production(tpm=(tpm,), revoked=listed, play={})
    assert authorities.tpm.genuine == (tpm,)
    assert authorities.revoked is listed
