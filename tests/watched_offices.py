"""The risk engine for the offices of tests: the shipped rules, and answers that are never held back for real."""

from collections.abc import Awaitable, Callable

from strongroom.risk.defaults import default_rules, default_text
from strongroom.risk.rules import Rules
from strongroom.risk.rules_file import read_rules
from strongroom.server.limits.rates import DEFAULTS, MOST, RateTable
from strongroom.server.watch import RulesInForce, Watch


class Slept:
    """What would have been waited, instead of waiting."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


def watching(rules: Rules | None = None, sleep: Callable[[float], Awaitable[None]] | None = None) -> Watch:
    """Watch by these rules, or by those that are shipped."""
    return Watch(RulesInForce(rules or default_rules()), sleep=sleep or Slept())


CALM = (("medium = 30", "medium = 900"), ("high = 70", "high = 1000"), ('attestation = "stop"', 'attestation = "off"'))


def bent_text(*changes: tuple[str, str]) -> str:
    """Return the file of the shipped rules with some lines written otherwise."""
    text = default_text()
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


def bent(*changes: tuple[str, str]) -> Rules:
    """Return the shipped rules with some lines written otherwise."""
    return read_rules(bent_text(*changes), "bent.toml")


def calm() -> Watch:
    """Watch by the shipped rules, but let a test repeat what an honest device never does so often."""
    return watching(bent(*CALM))


def patient_rates() -> RateTable:
    """Return no rates at all: where a clock stands still or goes back, all requests come in the same second."""
    return {}


def patient_settings() -> str:
    """Return lines of strongroom.toml by which hardly anybody is limited."""
    rates = [f'rate_{route} = "{", ".join(f"{by} {MOST}" for by in kinds)}"' for route, kinds in DEFAULTS.items()]
    return "\n".join(["", *rates, ""])
