"""Can a decoy be told from a real route by how long its answer takes?

A real server in a process of its own, TLS 1.3, one connection kept alive, requests of both kinds in random order, each
with a fresh proof; `area` is the probability that a decoy's answer took longer than a real one's (0.5 is a coin), KS
and Welch are two tests of the same. The device is the one of `strongroom decoy test`, which no decoy stops: what
follows a hit is one audit row, as for a refusal.

Run: python bench/decoys.py [PAIRS]
"""

import math
import os
import random  # noqa: TID251 - the order of requests, which is no secret
import ssl
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from http.client import HTTPSConnection
from pathlib import Path
from urllib.parse import urlsplit

from download import OFFICE
from strongroom.canonical import from_base64url
from strongroom.cli.demo.processes import Command, Server, free_ports
from strongroom.operator import OfficeClient
from strongroom.server.limits.rates import DEFAULTS, MOST
from strongroom.signing import ED25519, SigningKey
from strongroom.wire import dpop
from strongroom.wire import trust as trust_of
from strongroom.wire.messages import ChallengeAnswer, UrlsRequest

PAIRS = 2000
GAP = 0.004  # seconds between two requests, at random up to this: whoever measures lets the server come to rest
GOAL = 0.55
FRESH = 60.0  # seconds that a token is used
REAL, FAKE = "/urls", "/raw"
JSON = {"Content-Type": "application/json"}


class Prober:
    """One device on one connection."""

    def __init__(self, server: Server, office: OfficeClient, context: ssl.SSLContext) -> None:
        self._base, self._office = server.device_url, office
        url = urlsplit(self._base)
        self._line = HTTPSConnection(url.hostname or "", url.port, context=context)
        self._begun = 0.0
        self.begin()

    def begin(self) -> None:
        """Get a fresh token, if the one in use is old: an exercise's live for two minutes."""
        if time.monotonic() - self._begun > FRESH or not self._begun:
            begun = self._office.post("exercises")
            self._key, self._token = SigningKey(ED25519, from_base64url(str(begun["seed"]))), str(begun["token"])
            self.dead = self._token[:-8] + "AAAAAAAA"  # its signature does not verify
            self._begun = time.monotonic()

    def ask(self, path: str, body: bytes, *, token: str | None = None, proven: bool = True) -> tuple[float, bytes]:
        """Send one request; return how long its answer took, and its body."""
        headers, shown = dict(JSON), token or self._token
        if proven:
            proof = dpop.make(self._key, "POST", self._base + path, shown, int(time.time()), os.urandom(16))  # noqa: TID251 - a client
            headers |= {"Authorization": f"DPoP {shown}", "DPoP": proof}
        begun = time.perf_counter()
        self._line.request("POST", path, body, headers)
        answer = self._line.getresponse().read()
        return time.perf_counter() - begun, answer

    def message(self) -> bytes:
        """Write a message of `urls` with a challenge that is good."""
        _, answer = self.ask("/v1/challenges", b'{"purpose":"urls"}')
        return UrlsRequest(ChallengeAnswer.from_bytes(answer).challenge, "a.b.c", None).to_bytes()


def main(pairs: int) -> int:
    """Measure every way to be refused; returns 1 if one of them tells the kinds apart."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        command = Command(folder / OFFICE)
        device_port, admin_port = free_ports()
        ports = ("--device-port", str(device_port), "--admin-port", str(admin_port))
        init = command("init", str(folder / OFFICE), "--host", "localhost", *ports)
        config = Path(init["config"])
        rates = [f'rate_{route} = "{", ".join(f"{by} {MOST}" for by in kinds)}"' for route, kinds in DEFAULTS.items()]
        config.write_text("\n".join([config.read_text(encoding="utf-8"), *rates, ""]), encoding="utf-8")
        server = Server(config, folder / "server.log", init["public_url"], init["admin_url"]).start()
        try:
            return _measure(folder, server, pairs)
        finally:
            server.stop()


def _measure(folder: Path, server: Server, pairs: int) -> int:
    trust = trust_of.read((folder / OFFICE / "trust.json").read_bytes())
    admin = (folder / OFFICE / "admin.token").read_text(encoding="ascii")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # a bench on loopback: nothing is secret here
    with OfficeClient.connect(server.admin_url, token=admin, trust=trust) as office:
        office.post("decoys", value={"kind": "endpoint", "name": f"POST /v1/releases/{{release_id}}{FAKE}", "note": ""})
        return _table(Prober(server, office, context), pairs)


def _table(prober: Prober, pairs: int) -> int:
    def name() -> str:
        return f"/v1/releases/rel_{os.urandom(16).hex()[:22]}"

    ways: dict[str, Callable[[str], float]] = {
        "no token": lambda end: prober.ask(name() + end, b"{}", proven=False)[0],
        "a dead token": lambda end: prober.ask(name() + end, b"{}", token=prober.dead)[0],
        "no message": lambda end: prober.ask(name() + end, b"{}")[0],
        "not found": lambda end: prober.ask(name() + end, prober.message())[0],
    }
    worst = 0.0
    print(f"{'refused for':16} {'n':>5} {'real ms':>8} {'decoy ms':>8} {'area':>6} {'KS p':>6} {'Welch p':>7}")
    for way, ask in ways.items():
        real, decoys = _interleaved(pairs, ask, prober.begin)
        worst = max(worst, _row(way, real, decoys))
    print(f"worst area {worst:.3f}, goal {GOAL}")
    return int(worst > GOAL)


def _interleaved(count: int, ask: Callable[[str], float], rest: Callable[[], None]) -> tuple[list[float], list[float]]:
    found: dict[str, list[float]] = {REAL: [], FAKE: []}
    order = random.Random(1)  # noqa: S311 - the order of requests
    for end in [REAL, FAKE] * 20:
        ask(end)
    for _ in range(count):
        for end in order.sample((REAL, FAKE), 2):
            rest()
            time.sleep(order.random() * GAP)
            found[end].append(ask(end))
    return found[REAL], found[FAKE]


def _row(way: str, real: Sequence[float], decoys: Sequence[float]) -> float:
    guess = area(real, decoys)
    guess = max(guess, 1 - guess)
    middle = [sorted(one)[len(one) // 2] * 1000 for one in (real, decoys)]
    tests = f"{kolmogorov(real, decoys):6.3f} {welch(real, decoys):7.3f}"
    print(f"{way:16} {len(real):5} {middle[0]:8.3f} {middle[1]:8.3f} {guess:6.3f} {tests}")
    return guess


def area(low: Sequence[float], high: Sequence[float]) -> float:
    """Return the probability that one of `high` is above one of `low` (Mann-Whitney); times hardly ever tie."""
    every = sorted([(value, 0) for value in low] + [(value, 1) for value in high])
    ranks = sum(rank for rank, (_, kind) in enumerate(every, 1) if kind)
    return (ranks - len(high) * (len(high) + 1) / 2) / (len(low) * len(high))


def kolmogorov(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the p value of the two-sample Kolmogorov-Smirnov test, by its asymptotic series."""
    every = sorted([(value, 1 / len(one)) for value in one] + [(value, -1 / len(other)) for value in other])
    apart = total = 0.0
    for _, step in every:
        total += step
        apart = max(apart, abs(total))
    root = math.sqrt(len(one) * len(other) / (len(one) + len(other)))
    scaled = (root + 0.12 + 0.11 / root) * apart
    series = sum((-1) ** (k - 1) * math.exp(-2 * (k * scaled) ** 2) for k in range(1, 101))
    return min(1.0, max(0.0, 2 * series)) if scaled > 0.2 else 1.0


def welch(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the p value of Welch's test; with so many values the normal distribution stands for Student's."""
    means = [math.fsum(values) / len(values) for values in (one, other)]
    spread = sum(
        math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1) / len(values)
        for values, mean in zip((one, other), means, strict=True)
    )
    return math.erfc(abs(means[0] - means[1]) / math.sqrt(2 * spread)) if spread else 1.0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else PAIRS))
