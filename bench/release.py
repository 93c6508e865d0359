"""How many releases does one core give out, and how many would it if there were nothing but cryptography and a look-up?

A release is two requests, a challenge and the release itself, over TLS 1.3 and HTTP/1.1 to a real server with its
SQLite database. The server has one core, the clients the others; keys and connections are made before the window. The
bare rows do in one loop what no implementation can leave out: three signatures verified, two made, one key unwrapped,
one sealed, four rows looked up.
"""

import hashlib
import http.client
import json
import os
import signal
import sqlite3
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from download import DEVICE, MODEL, OFFICE, PID, served
from material import MODEL_KEY
from rounds import Goal, Question, Row, main
from strongroom.canonical import encode
from strongroom.cli.demo.processes import clean_environment
from strongroom.edge import facts
from strongroom.edge.clock import read_clocks
from strongroom.edge.enrol import thumbprint
from strongroom.edge.keystore.file import FileKeystore
from strongroom.edge.state import Identity
from strongroom.edge.store import KEYS, Store
from strongroom.server.limits.rates import DEFAULTS, MOST
from strongroom.server.release import wrap_context
from strongroom.server.settings import load
from strongroom.server.wiring import open_vault
from strongroom.signing import Signer
from strongroom.wire import dpop, grant, hpke, jws, proofs
from strongroom.wire.binding import Binding
from strongroom.wire.messages import ChallengeAnswer, ChallengeRequest, Grant, ReleaseAnswer, ReleaseRequest
from window import Work

AT_ONCE = 4  # clients
COUNT, SHARES = "count", "shares.json"
CHALLENGES, RELEASES = "/v1/challenges", "/v1/releases"
SELECTOR = "@stable"


@contextmanager
def office(folder: Path, size: int) -> Iterator[None]:
    """Make an office with a small model and a device, its server on one core of its own where there are two."""
    with served(folder, 2**20):
        (folder / COUNT).write_text(str(max(1, size // 2**20)), encoding="ascii")
        first = int((folder / PID).read_text(encoding="ascii"))
        os.kill(first, signal.SIGTERM)  # its place is taken by one that can be looked into
        config = folder / OFFICE / "strongroom.toml"
        rates = [f'rate_{route} = "{", ".join(f"{by} {MOST}" for by in kinds)}"' for route, kinds in DEFAULTS.items()]
        quota = "releases_per_day_per_account = 1_000_000_000"  # one device asks here for what thousands do elsewhere
        config.write_text("\n".join([config.read_text(encoding="utf-8"), *rates, quota, ""]), encoding="utf-8")
        rules = config.with_name("risk.toml")
        text = rules.read_text(encoding="utf-8")
        rules.write_text(text.replace("[rules.burst]\n", '[rules.burst]\nmode = "off"\n'), encoding="utf-8")
        with _alone(first), (folder / "sampled.log").open("wb") as log:
            command = [sys.executable, str(Path(__file__).with_name("sampled.py")), str(config), str(folder / SHARES)]
            server = subprocess.Popen(command, stdout=log, stderr=log, env=clean_environment())
        try:
            while '"server.ready"' not in (folder / "sampled.log").read_text(encoding="utf-8"):
                if server.poll() is not None:
                    sys.exit("the server did not start")
                time.sleep(0.05)
            (folder / PID).write_text(str(server.pid), encoding="ascii")
            yield
        finally:
            server.terminate()
            server.wait(60)


@contextmanager
def _alone(before: int) -> Iterator[None]:
    """Wait until the server before has ended, and let what is started here have one core."""
    while Path(f"/proc/{before}/fd").exists() and _running(before):
        time.sleep(0.05)
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def _running(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"


def shares(folder: Path) -> dict[str, float]:
    """Look into the server while it releases; return what its processor time goes to."""
    pid = int((folder / PID).read_text(encoding="ascii"))
    work = asking(folder, "release", HYBRID)
    os.kill(pid, signal.SIGUSR1)
    done = work.run()
    os.kill(pid, signal.SIGUSR1)
    if not work.check(done):
        sys.exit("shares: the result is wrong")
    while not (folder / SHARES).exists():
        time.sleep(0.05)
    return dict(json.loads((folder / SHARES).read_text(encoding="utf-8")))


@dataclass(frozen=True, slots=True)
class Device:
    """An enrolled device: who it is, its key, and where it asks."""

    identity: Identity
    signer: Signer
    server: str
    ask: ssl.SSLContext

    @classmethod
    def read(cls, folder: Path) -> "Device":
        """Read what enrolling has left behind."""
        home = folder / DEVICE
        store = Store(home, FileKeystore(home / KEYS), clocks=read_clocks)
        identity, signer = store.need().identity, store.keystore.device_key()
        settings = load(folder / OFFICE / "strongroom.toml")
        context = ssl.create_default_context(cafile=str(folder / OFFICE / "tls" / "ca.pem"))
        if identity is None or signer is None:
            raise SystemExit("the device is not enrolled")
        return cls(identity, signer, settings.public_url, context)


class Client:
    """One connection of a device that only asks for keys."""

    def __init__(self, device: Device, kem: int, count: int) -> None:
        self.device, self.kem = device, kem
        host = device.server.removeprefix("https://")
        self.connection = http.client.HTTPSConnection(host, timeout=60, context=device.ask)
        self.connection.connect()
        self.keys = [hpke.EphemeralKey.generate(kem) for _ in range(count)]
        self.facts, self.thumbprint = facts.describe(device.identity.id), thumbprint(device.signer.public)
        self.last: tuple[Grant, hpke.EphemeralKey, Binding] | None = None

    def release(self) -> None:
        """Ask for a challenge and for the keys."""
        device, identity, key = self.device, self.device.identity, self.keys.pop()
        asked = ChallengeRequest("release", MODEL).to_bytes()
        challenge = ChallengeAnswer.from_bytes(self.post(CHALLENGES, asked)).challenge
        binding = Binding(
            purpose="release",
            challenge=challenge,
            kem=self.kem,
            public_key=key.public,
            account=identity.account,
            device=identity.id,
            device_key=self.thumbprint,
            platform=self.facts.platform,
            model=MODEL,
            version=SELECTOR,
        )
        unproven = ReleaseRequest(MODEL, SELECTOR, challenge, self.kem, key.public, self.facts, (), {}, "", None)
        url = device.server + RELEASES
        body = proofs.prove(unproven, device.signer, binding, "POST", url, identity.token).to_bytes()
        answer = ReleaseAnswer.from_bytes(self.post(RELEASES, body))
        self.last = Grant.from_bytes(jws.unverified_payload(answer.grant[0], "grant")), key, binding

    def challenge(self) -> None:
        """Ask for a challenge alone."""
        ChallengeAnswer.from_bytes(self.post(CHALLENGES, ChallengeRequest("release", MODEL).to_bytes()))

    def trust(self) -> None:
        """Ask for something that is there already: TLS, HTTP and the framework alone."""
        self.connection.request("GET", "/v1/trust?from=1")
        self.connection.getresponse().read()

    def post(self, path: str, body: bytes) -> bytes:
        """Send a request with its proof."""
        device, token = self.device, self.device.identity.token
        proof = dpop.make(device.signer, "POST", device.server + path, token, int(time.time()), os.urandom(16))  # noqa: TID251 - the rim
        headers = {"Authorization": f"DPoP {token}", "DPoP": proof, "Content-Type": "application/json"}
        self.connection.request("POST", path, body, headers)
        answer = self.connection.getresponse()
        found = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{path}: {answer.status} {found!r}")
        return found

    def opens(self) -> bool:
        """Tell whether the last grant brought the model's key to this client."""
        if self.last is None:
            return False
        (key,) = grant.open_grant(*self.last)
        return len(key.reveal()) == len(MODEL_KEY)


def asking(folder: Path, what: str, kem: int) -> Work:
    """So many requests by several clients at once."""
    count, device = int((folder / COUNT).read_text(encoding="ascii")), Device.read(folder)
    shares = [count // AT_ONCE + (index < count % AT_ONCE) for index in range(AT_ONCE)]
    clients = [Client(device, kem, share) for share in shares]

    def one(client: Client, share: int) -> int:
        act = getattr(client, what)
        for _ in range(share):
            act()
        return share

    def run() -> int:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return sum(pool.map(one, clients, shares))

    def check(done: int) -> bool:
        return done == count and (what != "release" or clients[0].opens())

    return Work(run, check, int((folder / PID).read_text(encoding="ascii")))


def bare(folder: Path, kem: int) -> Work:
    """What cannot be left out, in one loop."""
    count, device = int((folder / COUNT).read_text(encoding="ascii")), Device.read(folder)
    settings = load(folder / OFFICE / "strongroom.toml")
    vault = open_vault(settings)
    token, release = vault.token_signer, vault.release_signer
    key, text = hpke.EphemeralKey.generate(kem), os.urandom(1200)
    shown = [(token.public, token.sign(text)), *[(device.signer.public, device.signer.sign(text))] * 2]
    rows = closing(sqlite3.connect(folder / OFFICE / "database" / "strongroom.db"))

    def run() -> bytes:
        sealed = b""
        with rows as connection:
            for _ in range(count):
                if not all(public.verify(signature, text) for public, signature in shown):
                    return b""
                found = _looked_up(connection, device.identity)
                secret = vault.unwrap(found["wrapped"], wrap_context(None, MODEL, found["version"], found["file_id"]))
                sealed = hpke.seal(kem, key.public, hashlib.sha256(text).digest(), secret)
                encode([str(len(release.sign(text))), str(len(release.sign(text)))])
        return sealed

    return Work(run, lambda sealed: len(key.open(sealed, hashlib.sha256(text).digest())) == len(MODEL_KEY), os.getpid())


def _looked_up(connection: sqlite3.Connection, identity: Identity) -> dict[str, Any]:
    connection.execute("select * from devices where id = ?", (identity.id,)).fetchall()
    mine = (identity.account, MODEL)
    connection.execute("select * from entitlements where account = ? and model = ?", mine).fetchall()
    joined = "select * from versions join channels on version_id = id where channels.model = ? and channels.channel = ?"
    ((version, _, name, *_),) = connection.execute(joined, (MODEL, SELECTOR[1:])).fetchall()
    wanted = "select file_id, wrapped from files where version_id = ?"
    ((file_id, wrapped),) = connection.execute(wanted, (version,)).fetchall()
    return {"version": name, "file_id": file_id, "wrapped": wrapped}


HYBRID, CURVE, NIST = hpke.MLKEM768_X25519, hpke.X25519, hpke.P256
QUESTION = Question(
    name="release",
    title="Releases by one core of a real server, against bare cryptography and a look-up",
    script="release.py",
    made=office,
    base="bare",
    counts="requests",
    shares=shares,
    rows=(
        Row("bare", "bare, hybrid KEM", partial(bare, kem=HYBRID)),
        Row("bare-x25519", "bare, X25519", partial(bare, kem=CURVE)),
        Row("release", "release, hybrid KEM", partial(asking, what="release", kem=HYBRID)),
        Row("release-x25519", "release, X25519", partial(asking, what="release", kem=CURVE)),
        Row("release-p256", "release, P-256", partial(asking, what="release", kem=NIST)),
        Row("challenge", "of it: the challenge alone", partial(asking, what="challenge", kem=CURVE)),
        Row("trust", "an answer that is there already", partial(asking, what="trust", kem=CURVE)),
    ),
    goals=(
        Goal("hybrid / X25519, by the server's CPU", "release", "served", 0.6, "release-x25519", least=True),
        Goal("hybrid / bare, by the server's CPU", "release", "served", 0.5, "bare", least=True),
    ),
)

if __name__ == "__main__":
    main(QUESTION)
