"""What an office knows of attestation: its policies, whom it believes, and how the last verdicts went."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from strongroom.attest.authorities import Authorities, RevocationList
from strongroom.attest.policy_file import PolicySet
from strongroom.server.attestation.breaker import Breaker
from strongroom.server.attestation.play_port import Closes, PlayDecoder
from strongroom.server.attestation.rations import Rations


@dataclass(frozen=True, slots=True)
class Attestation:
    """Everything that evidence is judged with.

    Attributes:
        policies: the rules of each model; what they do not speak of is refused.
        authorities: roots, keys and the revocation list.
        decoder: asks Google about tokens that only Google can open; None: such tokens are not taken.
        breaker: counts verdicts.
        rations: counts how often each device makes us ask Google.
        revoked: the revocation list as it is by now (Unix seconds); None: the one of `authorities` is all there is.
    """

    policies: PolicySet
    authorities: Authorities = field(default_factory=Authorities)
    decoder: PlayDecoder | None = None
    breaker: Breaker = field(default_factory=Breaker)
    rations: Rations = field(default_factory=Rations)
    revoked: Callable[[int], RevocationList | None] | None = None

    def close(self) -> None:
        """Let go of what it asks others with; the office is not used any more."""
        if isinstance(self.decoder, Closes):
            self.decoder.close()

    def believed(self, now: int) -> Authorities:
        """Return the authorities, with the newest revocation list."""
        return self.authorities if self.revoked is None else replace(self.authorities, revoked=self.revoked(now))
