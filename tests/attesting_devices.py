"""Devices that attest by hand: those of `protocol_client`, with a made-up phone or chip; every step can be bent."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import httpx

from attested_offices import asking, policy
from protocol_client import DEVICES, Bench, HandDevice
from stand_ins import APP_ID, POLICY, Kits, kits
from strongroom import sealed
from strongroom.attest.policy import Policy
from strongroom.server.attestation import Attestation
from strongroom.server.identify import thumbprint
from strongroom.testing import TestChip, TestPhone
from strongroom.wire import grant as grants
from strongroom.wire import hpke, proofs
from strongroom.wire.activation import ActivationAnswer, ActivationRequest
from strongroom.wire.binding import Binding
from strongroom.wire.lease import read_signed
from strongroom.wire.messages import EnrolAnswer, EnrolRequest, Evidence, Grant, Lease, ReleaseRequest

KITS = kits()  # one of each, made once
Make = Callable[[Binding], tuple[Evidence, ...]]  # evidence for a binding
RULES: Mapping[str, Any] = {
    "stand_ins": True,
    "apple": POLICY.apple,
    "android": POLICY.android,
    "play": POLICY.play,
    "tpm": POLICY.tpm,
    "level": POLICY.level,
}


def rules(*kinds: str, name: str = "default", **changes: Any) -> Policy:
    """Write the rules of a model that takes these kinds, all of whose demands the made-up devices meet."""
    return policy(name, **RULES | {"kinds": frozenset(kinds)} | changes)


def office(
    *kinds: str, of: Kits = KITS, models: dict[str, Policy] | None = None, decoder: Any = None, **changes: Any
) -> Attestation:
    """Return an attestation that takes these kinds from every model without rules of its own."""
    given = RULES | {"kinds": frozenset(kinds)} | changes
    return replace(asking(of.authorities, models, **given), decoder=decoder)


class AttestingDevice:
    """A device and what vouches for it."""

    def __init__(self, device: HandDevice, phone: TestPhone | None = None, chip: TestChip | None = None) -> None:
        self.device, self.bench = device, device.bench
        self.phone = phone or KITS.apple.phone(APP_ID, bundle_version="1.2.3", category=4)
        self.chip = chip or KITS.tpm.chip()

    async def activation(self, challenge: bytes, chip: TestChip | None = None) -> httpx.Response:
        """Ask for a credential."""
        asked = chip or self.chip
        request = ActivationRequest(challenge, asked.ek_certificates, asked.ek.raw, asked.ak.raw)
        return await self.device.send(
            "/v1/activations", request.to_bytes(), scheme="Bearer", token=self.device.user_token
        )

    async def activated(self, challenge: bytes) -> bytes:
        """Ask for a credential and open it."""
        answer = await self.activation(challenge)
        assert answer.status_code == 200, answer.text
        return self.chip.activate(ActivationAnswer.from_bytes(answer.content).credential)

    def attestation(self, binding: Binding) -> tuple[Evidence, ...]:
        """What a phone enrols with."""
        return (Evidence("app-attest", self.phone.attest(binding.digest(), self.bench.clock())),)

    def assertion(self, binding: Binding) -> tuple[Evidence, ...]:
        """What a phone asks with."""
        return (Evidence("app-attest", self.phone.sign(binding.digest())),)

    def quote(self, binding: Binding) -> tuple[Evidence, ...]:
        """What a machine with a TPM asks with."""
        return (Evidence("tpm", self.chip.quote(binding.digest())),)

    async def enrol_with(self, make: Make, challenge: bytes | None = None) -> httpx.Response:
        """Enrol with evidence."""
        device = self.device
        challenge = challenge or await device.challenge("enrol", None)
        binding = Binding.enrol(challenge=challenge, device_key=thumbprint(device.key.public), platform="linux")
        facts = replace(device.facts(), id=None)
        request = EnrolRequest(challenge, device.key.public, facts, make(binding), "a.b.c")
        response = await device.try_enrol(
            proofs.prove(request, device.key, binding, "POST", f"{DEVICES}/v1/devices", device.user_token)
        )
        if response.status_code == 201:
            answer = EnrolAnswer.from_bytes(response.content)
            device.id, device.account, device.token = answer.device_id, answer.account, answer.token
        return response

    async def enrol_chip(self, **bent: Any) -> httpx.Response:
        """Enrol with the TPM: credential, activation, quote."""
        challenge = await self.device.challenge("enrol", None)
        activation = bent.pop("activation", None)
        if activation is None:
            activation = await self.activated(challenge)

        def make(binding: Binding) -> tuple[Evidence, ...]:
            return (Evidence("tpm", self.chip.enrol(binding.digest(), activation=activation)),)

        return await self.enrol_with(make, challenge)

    async def enrol_phone(self) -> None:
        """Enrol with the phone's key."""
        response = await self.enrol_with(self.attestation)
        assert response.status_code == 201, response.text

    async def ask(self, make: Make | None, **changes: Any) -> tuple[ReleaseRequest, hpke.EphemeralKey]:
        """Write a proven release request with evidence."""
        request, ephemeral = await self.device.release_request(**changes)
        if make is not None:
            request = replace(request, evidence=make(self.device.binding(request)))
        return self.device.proven(request), ephemeral

    async def release(self, make: Make | None, **changes: Any) -> httpx.Response:
        """Ask with evidence."""
        request, _ = await self.ask(make, **changes)
        return await self.device.try_release(request)

    async def given(self, make: Make | None, **changes: Any) -> tuple[Grant, tuple[sealed.ModelKey, ...]]:
        """Ask with evidence, and open what is sealed in the answer, with the chip if it needs one."""
        request, ephemeral = await self.ask(make, **changes)
        response = await self.device.try_release(request)
        assert response.status_code == 200, response.text
        grant = self.device.read(response, request)

        def activate(credential: bytes) -> bytearray:
            return bytearray(self.chip.activate(credential))

        return grant, grants.open_grant(grant, ephemeral, self.device.binding(request), activate)

    async def lease(self, make: Make | None, **changes: Any) -> Lease:
        """Get a release and return its lease."""
        grant, _ = await self.given(make, **changes)
        return read_signed(grant.lease, self.bench.trust)

    async def renew(self, lease: Lease, make: Make | None) -> httpx.Response:
        """Renew with evidence."""
        device = self.device
        request = await device.renew_request(lease)
        binding = Binding.renew(
            challenge=request.challenge,
            account=device.account,
            device=device.id or "",
            device_key=thumbprint(device.key.public),
            platform=request.device.platform,
            model=lease.model,
            version=lease.version,
        )
        if make is not None:
            request = dataclasses.replace(request, evidence=make(binding))
        return await device.try_renew(lease, device.proven_renewal(request, lease))


async def new(bench: Bench, name: str = "ada", **its: Any) -> AttestingDevice:
    """Return a device of an entitled customer that has not enrolled yet."""
    return AttestingDevice(HandDevice(bench, await bench.customer(name, "digits")), **its)


def unavailable(why: str = "the service is down") -> Make:
    """Say that nothing can be attested."""
    return lambda _: (Evidence("unavailable", why.encode()),)
