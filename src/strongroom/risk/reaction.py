"""What each band does to its bearer."""

from dataclasses import dataclass

STEP_UPS = ("", "authenticate", "attest")


@dataclass(frozen=True, slots=True)
class Reaction:
    """The reaction to one band; the first line of each is doing nothing."""

    refuse: bool = False  # keys and renewals are refused
    step_up: str = ""  # "" nothing, "authenticate" sign in again, "attest" a fresh attestation
    lease: int | None = None  # longest lease in seconds; None: the usual
    rate: float = 1.0  # share of the usual rate limits
    delay: tuple[float, float] = (0.0, 0.0)  # seconds an answer waits, least and most
    wipe: bool = False  # the device is ordered to wipe
    restrict: bool = False  # the account is restricted as well, if the user's own band is the reason
    deceive: bool = False  # requests may be answered with a decoy model

    def to_value(self) -> dict[str, object]:
        """Return what differs from doing nothing, for JSON."""
        value: dict[str, object] = {}
        for name in ("refuse", "wipe", "restrict", "deceive"):
            if getattr(self, name):
                value[name] = True
        if self.step_up:
            value["step_up"] = self.step_up
        if self.lease is not None:
            value["lease"] = self.lease
        if self.rate != 1.0:
            value["rate"] = self.rate
        if self.delay != (0.0, 0.0):
            value["delay"] = list(self.delay)
        return value
