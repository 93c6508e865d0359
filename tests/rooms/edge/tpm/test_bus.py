"""What somebody between this machine and its TPM learns, and what becomes of what he changes.

On many boards the chip hangs on a bus that a probe of a few euros reads along.
"""

import os

import pytest

from rooms.edge.tpm.bus import Bus
from strongroom.attest.tpm import make_credential
from strongroom.edge.tpm.chip import Tpm
from strongroom.edge.tpm.objects import EMPTY
from strongroom.errors import Code, StoreError
from strongroom.wire.tpm.constants import Command
from strongroom.wire.tpm.structs import Public

SECRET = bytes(range(60, 92))


@pytest.fixture
def bus(chip):
    return Bus(chip.address)


def test_a_secret_is_never_readable_on_the_bus(chip, bus):
    """Sealing, unsealing by session and by registers, and opening a credential: encrypted parameters."""
    with Tpm(bus, chip.address) as tpm:
        for registers in ((), (0, 7)):
            assert tpm.unseal(tpm.seal(SECRET, registers), registers) == SECRET
        key = tpm.create_ak()
        credential = make_credential(tpm.ek_public(), Public.read(key.public).name(), SECRET, os.urandom)
        assert tpm.activate(key, credential) == SECRET
        assert SECRET not in bus.heard
        assert not any(SECRET[at : at + 8] in bus.heard for at in range(25))

        blob = tpm.seal(SECRET)  # the listener is not deaf: without a session he hears it
        with tpm._objects.loaded(blob) as loaded:
            tpm._channel.call(Command.UNSEAL, [loaded], b"", [EMPTY])
        assert SECRET in bus.heard


def test_every_session_is_another(chip, bus):
    """The same secret unsealed twice does not pass as the same bytes."""
    with Tpm(bus, chip.address) as tpm:
        blob = tpm.seal(SECRET)
        tpm.unseal(blob)
        first = [one for one in bus.passed if one[6:10] == Command.UNSEAL.to_bytes(4, "big")]
        tpm.unseal(blob)
    second = [one for one in bus.passed if one[6:10] == Command.UNSEAL.to_bytes(4, "big")]
    answers = [bus.passed[bus.passed.index(one) + 1] for one in second]
    assert (len(first), len(second)) == (1, 2)
    assert answers[0][14:48] != answers[1][14:48]


@pytest.mark.parametrize("command", [Command.UNSEAL, Command.CREATE, Command.SIGN, Command.QUOTE, Command.LOAD])
def test_a_changed_answer_is_refused(chip, bus, command):
    """Every answer that matters is authenticated by the TPM itself: each changed byte of it ends in an error."""
    with Tpm(bus, chip.address) as tpm:
        key, ak, blob = tpm.create_signing_key(), tpm.create_ak(), tpm.seal(SECRET)
        use = {
            Command.UNSEAL: lambda: tpm.unseal(blob),
            Command.CREATE: tpm.create_signing_key,
            Command.SIGN: lambda: tpm.sign(key, bytes(32)),
            Command.QUOTE: lambda: tpm.quote(ak, bytes(32), [0]),
            Command.LOAD: lambda: tpm.unseal(blob),
        }[command]
        changed = 0
        for at in (14 if command != Command.LOAD else 18, 20, 30, 40, -1, -20, -34):

            def bend(answer, at=at):
                nonlocal changed
                if bus.passed[-2][6:10] != command.to_bytes(4, "big"):
                    return answer
                changed += 1
                bent = bytearray(answer)
                bent[at] ^= 1
                return bytes(bent)

            bus.bend = bend
            with pytest.raises(StoreError) as caught:
                use()
            assert caught.value.code == Code.STORE_IO
        assert changed >= 7
        bus.bend = lambda answer: answer
        use()
