"""B09: one phone's key or one chip for many devices, and a blocked device that comes back with what it had."""

from dataclasses import replace

import pytest

from attesting_devices import KITS, AttestingDevice, new, office
from protocol_client import Bench, HandDevice, run
from rooms.server.test_attestation import audited, refused
from stand_ins import APP_ID
from strongroom.attest.claims import Kind, Known
from strongroom.server.attestation.remembered import hardware
from strongroom.wire.tpm.structs import Public


async def block(bench: Bench, ada: AttestingDevice) -> None:
    assert (await bench.ask("POST", f"/v1/devices/{ada.device.id}/block", {})).status_code == 200


def again(ada: AttestingDevice) -> AttestingDevice:
    """The same phone and chip with a fresh device key."""
    return AttestingDevice(HandDevice(ada.bench, ada.device.user_token), phone=ada.phone, chip=ada.chip)


def test_an_app_attest_key_is_one_devices() -> None:
    """B09: a phone whose key somebody has out of it would vouch for any number of devices."""

    async def story(bench: Bench) -> None:
        phone = KITS.apple.phone(APP_ID, bundle_version="1.2.3", category=4)
        ada, eve = await new(bench, phone=phone), await new(bench, "eve", phone=phone)
        await ada.enrol_phone()
        for other in (eve, again(ada)):
            response = await other.enrol_with(other.attestation)
            refused(response, "evidence")
            detail = await audited(bench, response)
            assert (detail["verdict"], detail["step"]) == ("key", "hardware")
            assert ada.device.id in str(detail["detail"])
        assert len(await bench.events("device.enrolled")) == len(await bench.events("device.attested")) == 1
        await ada.enrol_phone()  # whose it is may attest it anew

    run(story, attestation=office("app-attest"))


def test_a_blocked_device_does_not_come_back_with_a_fresh_key() -> None:
    """B09: the chip of a blocked device is known, whatever device key it comes with, and by whom."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        ada, eve = await new(bench), await new(bench, "eve")
        assert (await ada.enrol_chip()).status_code == 201
        await block(bench, ada)
        eve.chip = ada.chip
        for other in (again(ada), eve):
            response = await other.enrol_chip()
            refused(response, "evidence")
            detail = await audited(bench, response)
            assert (detail["verdict"], detail["step"]) == ("key", "hardware")
            assert ada.device.id in str(detail["detail"])
        assert len(await bench.events("device.enrolled")) == 1

    run(story, attestation=office("tpm"))


def test_one_chip_for_two_devices_is_said_in_the_audit_log() -> None:
    """B09: two users of one machine are no attack; a chip that serves many licensees is, and somebody must see it."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        ada, eve = await new(bench), await new(bench, "eve")
        eve.chip = ada.chip
        assert (await ada.enrol_chip()).status_code == 201
        assert not await bench.events("attestation.shared")
        assert (await eve.enrol_chip()).status_code == 201
        (row,) = await bench.events("attestation.shared")
        assert row.subject == eve.device.id
        told = {name: row.detail[name] for name in ("kind", "account", "others", "other_accounts")}
        assert told == {
            "kind": "tpm",
            "account": eve.device.account,
            "others": ada.device.id,
            "other_accounts": ada.device.account,
        }
        assert (await eve.release(eve.quote)).status_code == 200

    run(story, attestation=office("tpm"))


def test_another_spelling_of_a_chips_key_is_the_same_chip() -> None:
    """B09: name hash and policy in an endorsement key's public area are the device's own word."""
    ek = KITS.tpm.chip().ek.raw
    assert ek[2:4] == b"\x00\x0b"
    other = ek[:2] + b"\x00\x0c" + ek[4:8] + b"\x00\x30" + bytes(48) + ek[10 + int.from_bytes(ek[8:10], "big") :]
    assert Public.parse(other).key() == Public.parse(ek).key()
    known = Known(Kind.TPM, b"k", ek)
    assert hardware(replace(known, ek=other)) == hardware(known)
    assert hardware(known) != hardware(replace(known, ek=KITS.tpm.chip().ek.raw))


def test_a_row_with_another_hardware_is_forged() -> None:
    """B09: whoever writes to the database alone does not free a chip for another device."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        ada = await new(bench)
        assert (await ada.enrol_chip()).status_code == 201
        async with bench.ledger.begin() as tx:
            (row,) = await tx.attestations(ada.device.id)
            await tx.keep_attestation(replace(row, hardware=bytes(32)))
        refused(await ada.release(ada.quote), "attestation-needed")
        assert len(await bench.events("attestation.forged")) == 1

    run(story, attestation=office("tpm"))


@pytest.mark.parametrize("field", ["revision", "attested", "verified"])
def test_a_row_that_no_mac_could_be_over_is_forged(field: str) -> None:
    """B09: a number beyond what canonical JSON holds; the device is told to attest anew, and that mends it."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        ada = await new(bench)
        assert (await ada.enrol_chip()).status_code == 201
        async with bench.ledger.begin() as tx:
            (row,) = await tx.attestations(ada.device.id)
            await tx.keep_attestation(replace(row, **{field: 2**60}))
        refused(await ada.release(ada.quote), "attestation-needed")
        assert len(await bench.events("attestation.forged")) == 1
        assert (await ada.enrol_chip()).status_code == 201
        assert (await ada.release(ada.quote)).status_code == 200

    run(story, attestation=office("tpm"))


def test_a_forged_row_is_said_once_a_minute() -> None:
    """B09: whoever asks again and again with one fills no audit log."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        ada = await new(bench)
        assert (await ada.enrol_chip()).status_code == 201
        async with bench.ledger.begin() as tx:
            (row,) = await tx.attestations(ada.device.id)
            await tx.keep_attestation(replace(row, mac=bytes(32)))
        for _ in range(3):
            refused(await ada.release(ada.quote), "attestation-needed")
        assert len(await bench.events("attestation.forged")) == 1
        bench.clock.advance(60)
        refused(await ada.release(ada.quote), "attestation-needed")
        assert len(await bench.events("attestation.forged")) == 2

    run(story, attestation=office("tpm"))
