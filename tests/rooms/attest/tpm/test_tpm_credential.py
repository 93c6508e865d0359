"""Credentials that only one chip opens, for every kind of endorsement key (R94, B09).

They are opened by the other side's arithmetic (tests/paper_tpm.py); tests/adapters/test_tpm_credential.py has a chip.
"""

import pytest

from paper_tpm import PaperTpm
from strongroom.attest.tpm import make_credential
from strongroom.errors import Code, IntegrityError, InternalError

SECRET = bytes(range(100, 132))
KINDS = [{"ek": "rsa"}, {"ek": "p256"}, {"ek": "p384", "ek_hash": "sha384"}, {"ek": "rsa", "ek_hash": "sha384"}]


def counted(size: int) -> bytes:
    return bytes(range(1, size + 1))


@pytest.mark.parametrize("how", KINDS)
def test_the_chip_opens_what_was_made_for_it(how):
    chip = PaperTpm(**how)
    credential = make_credential(chip.ek_public, chip.ak_name, SECRET, counted)
    assert chip.open(credential) == SECRET
    sized = len(chip.ek_public).to_bytes(2, "big") + chip.ek_public
    assert chip.open(make_credential(sized, chip.ak_name, b"x", counted)) == b"x"


@pytest.mark.parametrize("how", KINDS)
def test_no_other_key_and_no_other_chip_opens_it(how):
    """B09: a key of another Name in the same chip (other attributes suffice), and the same key beside another chip."""
    chip = PaperTpm(**how)
    credential = make_credential(chip.ek_public, chip.ak_name, SECRET, counted)
    assert chip.open(credential, chip.ak_name[:-1] + bytes([chip.ak_name[-1] ^ 1])) is None
    if how["ek"] != "rsa":  # paper chips share their RSA keys
        assert PaperTpm(**how).open(credential, chip.ak_name) is None


def test_credentials_are_fresh_and_hide_their_secret():
    chip = PaperTpm()
    first = make_credential(chip.ek_public, chip.ak_name, SECRET, counted)
    second = make_credential(chip.ek_public, chip.ak_name, SECRET, lambda size: bytes(size - 1) + b"\2")
    assert first != second
    assert SECRET not in first
    assert make_credential(chip.ek_public, chip.ak_name, SECRET, counted) == first  # all of it comes from `random`


def test_keys_that_take_no_credential():
    chip = PaperTpm(ek_hash="sha1")
    for public in (chip.ek_public, chip.ak_public, chip.ek_public[:-1]):
        with pytest.raises(IntegrityError) as caught:
            make_credential(public, chip.ak_name, SECRET, counted)
        assert caught.value.code == Code.SHAPE
    with pytest.raises(InternalError):
        make_credential(PaperTpm().ek_public, chip.ak_name, bytes(33), counted)
