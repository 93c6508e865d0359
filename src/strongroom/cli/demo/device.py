"""The device's side of the demo: a process of its own that knows its directory, an address, and once a token.

It reads a list of things to do from stdin and writes what came of each to stdout, both JSON; secrets never stand in
arguments. For the story it does what any program would, by `strongroom.connect`; only the attacks reach deeper.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import strongroom
from strongroom.cli.demo import attempts
from strongroom.cli.demo.watch import watched
from strongroom.errors import InputError, StrongroomError

Json = dict[str, Any]


def main() -> None:
    """Do what stdin asks for; an error of ours is an answer too, any other one ends the process."""
    json.dump([_done(**act) for act in json.load(sys.stdin)], sys.stdout)


def _done(do: str, **arguments: Any) -> Json:  # noqa: ANN401 - what the action takes
    try:
        return ACTIONS[do](**arguments)
    except StrongroomError as error:
        return {"error": error.to_value()}


def enrol(url: str, token: str, trust: str) -> Json:
    """Enrol this installation."""
    with strongroom.connect(url, token=token, trust=trust) as room:
        return {"device": room.identity.id, "keystore": room.store.keystore.strength}


def pull(reference: str) -> Json:
    """Request, release, fetch, re-seal; say how long each took."""
    with watched() as (room, watch):
        started = time.monotonic()
        installed = room.pull(reference)
        ended = time.monotonic()
        release = watch.release()
        return {
            "version": installed.version,
            "request": release.started - started,
            "release": release.ended - release.started,
            "fetch": watch.fetching,
            "re-seal": max(0.0, ended - release.ended - watch.fetching),
            "fetched": watch.fetched,
            "stored": installed.size,
            "asked": len(release.body),
        }


def run(reference: str, files: list[tuple[str, str]], labels: list[str]) -> Json:
    """Open the model from the local store, without the network, and run it over the files."""
    from strongroom.cli.demo.measure import score

    room = strongroom.connect()
    started = time.monotonic()
    with room.load(reference, offline="only") as model:
        opened = time.monotonic()
        size = len(model.bytes())
        session = model.session()
        result = score(session, files, labels)
        ended = time.monotonic()
        del session
    try:
        model.bytes()
        wiped = False
    except InputError:
        wiped = True
    return {
        "open": opened - started,
        "run": ended - opened,
        "memory": size,
        "wiped": wiped,
        "score": result.to_value(),
    }


def has(reference: str) -> Json:
    """Tell whether the model can be opened here without the network."""
    with strongroom.connect().load(reference, offline="only"):
        return {"opened": True}


ACTIONS: dict[str, Callable[..., Json]] = {
    "enrol": enrol,
    "pull": pull,
    "run": run,
    "has": has,
    "replay": attempts.replay,
    "expire": attempts.expire,
    "foreign": attempts.foreign,
}

if __name__ == "__main__":
    main()
