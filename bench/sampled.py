"""`strongroom serve`, and where its processor time goes: `python bench/sampled.py CONFIG OUT`.

SIGUSR1 begins to look, a thousand times for each second of processor time, at what the loop is doing; the next one
ends that and writes the shares to OUT. Until then nothing is different from the command. What threads take is told by
the loop waiting meanwhile.
"""

import json
import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType

from strongroom.server.http.serve import serve
from strongroom.server.settings import load

EVERY = 0.001  # seconds of processor time
_WAITING = "waiting for threads: commits and sizes of objects"
_PARTS = (  # what a frame's place begins to tell, the innermost one that does
    ("selectors.py", _WAITING),
    ("concurrent/futures/", "giving work to threads and taking it back"),
    ("asyncio/threads", "giving work to threads and taking it back"),
    ("asyncio/sslproto", "TLS"),
    ("/ssl.py", "TLS"),
    ("strongroom/wire/hpke", "HPKE: the key is checked, and sealed to"),
    ("strongroom/server/vaults/", "the vault: unwrap, and MACs of entitlements"),
    ("strongroom/server/tokens", "who asks: token, DPoP, proof"),
    ("strongroom/wire/dpop", "who asks: token, DPoP, proof"),
    ("strongroom/wire/proofs", "who asks: token, DPoP, proof"),
    ("joserfc/", "who asks: token, DPoP, proof"),
    ("strongroom/wire/jws", "grant and lease signed"),
    ("strongroom/wire/grant", "grant and lease signed"),
    ("strongroom/wire/lease", "grant and lease signed"),
    ("sqlalchemy/", "the ledger: statements and transactions"),
    ("strongroom/server/ledger/", "the ledger: statements and transactions"),
    ("strongroom/wire/messages", "messages: canonical JSON, shapes"),
    ("uvicorn/", "HTTP/1.1"),
    ("/h11/", "HTTP/1.1"),
    ("strongroom/server/http/strict", "HTTP/1.1"),
    ("strongroom/server/http/connection", "HTTP/1.1"),
    ("fastapi/", "the framework and our routes"),
    ("starlette/", "the framework and our routes"),
    ("strongroom/server/http/", "the framework and our routes"),
    ("strongroom/server/", "the use cases themselves"),
    ("asyncio/", "the event loop"),
)


def main() -> None:
    """Serve."""
    config, out = Path(sys.argv[1]), Path(sys.argv[2])
    seen: Counter[str] = Counter()
    looking = [False]

    def look(_number: int, frame: FrameType | None) -> None:
        seen[_part(frame)] += 1

    def turn(_number: int, _frame: FrameType | None) -> None:
        looking[0] = not looking[0]
        signal.setitimer(signal.ITIMER_PROF, EVERY * looking[0], EVERY * looking[0])
        if not looking[0]:
            draft = out.with_suffix(".draft")
            draft.write_text(json.dumps({name: count / seen.total() for name, count in seen.items()}), "utf-8")
            draft.rename(out)

    signal.signal(signal.SIGPROF, look)
    signal.signal(signal.SIGUSR1, turn)
    serve(load(config))


def _part(frame: FrameType | None) -> str:
    while frame is not None:
        name = frame.f_code.co_filename
        for beginning, part in _PARTS:
            if beginning in name:
                return part
        frame = frame.f_back
    return "the rest"


if __name__ == "__main__":
    main()
