"""Attestation for the offices of tests: said out loud, since an office has no default."""

from typing import Any

from strongroom.attest.authorities import Authorities
from strongroom.attest.policy import Policy
from strongroom.attest.policy_file import PolicySet, digest
from strongroom.server.attestation import Attestation

NOBODY_PROVES_ANYTHING = Policy("default", 1, bytes(32), unattested=True)


def unattested() -> Attestation:
    """Serve devices that prove nothing, as every test did that is not about attestation."""
    return Attestation(PolicySet(1, NOBODY_PROVES_ANYTHING))


def asking(authorities: Authorities, models: dict[str, Policy] | None = None, **default: Any) -> Attestation:
    """Ask of devices what these rules say; a model without rules of its own goes by `default`."""
    return Attestation(PolicySet(1, policy("default", **default), models or {}), authorities)


def policy(name: str, **rules: Any) -> Policy:
    """Write the rules of one model."""
    made = Policy(name, 1, b"", **rules)
    return Policy(name, 1, digest(made), **rules)
