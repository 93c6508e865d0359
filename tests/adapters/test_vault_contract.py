"""What every vault must do: one suite over the keyring and the in-memory fake."""

import pytest

from fakes import MemoryVault
from strongroom.errors import Code, IntegrityError
from strongroom.server.vaults.keyring import Keyring

MAKE = {"memory": MemoryVault, "keyring": Keyring.generate}
SECRET, CONTEXT = bytes(range(32)), b'["acme","digits","1.0"]'


@pytest.fixture(params=sorted(MAKE))
def make(request):
    return MAKE[request.param]


def _refuses(vault, wrapped, context):
    with pytest.raises(IntegrityError) as caught:
        vault.unwrap(wrapped, context)
    assert caught.value.code == Code.VAULT_REFUSED


def test_what_was_wrapped_comes_back_as_bytes_that_can_be_wiped(make):
    vault = make()
    found = vault.unwrap(vault.wrap(SECRET, CONTEXT), CONTEXT)
    assert type(found) is bytearray
    assert found == SECRET
    assert vault.unwrap(vault.wrap(bytearray(SECRET), b""), b"") == SECRET


def test_the_secret_is_not_in_the_blob_and_no_two_blobs_are_alike(make):
    """A1: what the database holds is nothing without the vault."""
    vault = make()
    blobs = {vault.wrap(SECRET, CONTEXT) for _ in range(20)}
    assert len(blobs) == 20
    assert all(SECRET not in blob and SECRET[:8] not in blob for blob in blobs)


def test_a_blob_fits_one_context_only(make):
    """A row moved to another account, model, version or file unwraps to nothing."""
    vault = make()
    wrapped = vault.wrap(SECRET, CONTEXT)
    for other in (b"", CONTEXT + b" ", CONTEXT[:-1], b'["evil","digits","1.0"]'):
        _refuses(vault, wrapped, other)


def test_every_changed_byte_and_every_length_is_refused(make):
    vault = make()
    wrapped = vault.wrap(SECRET, CONTEXT)
    for index in range(len(wrapped)):
        _refuses(vault, wrapped[:index] + bytes([wrapped[index] ^ 1]) + wrapped[index + 1 :], CONTEXT)
        _refuses(vault, wrapped[:index], CONTEXT)
    _refuses(vault, wrapped + b"\0", CONTEXT)


def test_another_vault_refuses(make):
    _refuses(make(), make().wrap(SECRET, CONTEXT), CONTEXT)


def test_a_mac_is_32_bytes_and_depends_on_vault_and_data(make):
    """Writing to the database alone forges no entitlement."""
    vault, other = make(), make()
    assert len(vault.mac(b"row")) == 32
    assert vault.mac(b"row") == vault.mac(b"row")
    assert len({vault.mac(b"row"), vault.mac(b"roW"), vault.mac(b""), other.mac(b"row")}) == 4


def test_a_vault_does_not_print_its_keys(make):
    """R49: secrets do not print."""
    text = repr(make())
    assert "b'" not in text or len(text) < 80
