"""How long does a program wait for strongroom on a device: to import it, to fetch a small model, to open it?

Every row is a whole Python process, from its start to its end, with its bytecode written before. A pull asks for keys,
fetches, verifies, seals again and syncs a model of 1 MiB from a server on the same machine; the bare download reads the
same bytes by a link that is there already, and keeps nothing.
"""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from download import DEVICE, MODEL, PID, granted, served
from material import PLAIN
from rounds import MIB, Question, Row, main
from window import Work

CLIENT = ("-c", "import strongroom; strongroom.connect")
PULL = "import strongroom, sys; print(strongroom.connect(home=sys.argv[1]).pull(sys.argv[2], fresh=True).version)"
LOAD = """
import hashlib, strongroom, sys
with strongroom.connect(home=sys.argv[1]).load(sys.argv[2], offline="only") as model:
    print(hashlib.sha256(model.bytes()).hexdigest())
"""
READ = "import hashlib, pathlib, sys; print(hashlib.sha256(pathlib.Path(sys.argv[1]).read_bytes()).hexdigest())"
GET = """
import ssl, sys, urllib.request
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
print(len(urllib.request.urlopen(sys.argv[1], context=context).read()))
"""


@contextmanager
def installed(folder: Path, _size: int) -> Iterator[None]:
    """Make an office, a device, and a model of 1 MiB on it."""
    with served(folder, MIB):
        _run("-c", PULL, str(folder / DEVICE), MODEL)
        yield


def program(_folder: Path, *, arguments: tuple[str, ...], says: str = "") -> Work:
    """A program that needs nothing of the folder."""
    return Work(lambda: _run(*arguments), lambda told: told.startswith(says))


def pulling(folder: Path) -> Work:
    """What a device does to get a model that it does not have."""
    server = int((folder / PID).read_text(encoding="ascii"))
    return Work(lambda: _run("-c", PULL, str(folder / DEVICE), MODEL), lambda told: told == "1.0", server)


def downloading(folder: Path) -> Work:
    """The same bytes from the same server, by a link."""
    have = granted(folder)
    url, size = have.links._urls[0], have.release.grant.files[0].size  # noqa: SLF001 - as in download.py
    return Work(lambda: _run("-c", GET, url), lambda told: told == str(size), have.server)


def opening(folder: Path) -> Work:
    """Open what is here, without the network."""
    wanted = hashlib.sha256((folder / PLAIN).read_bytes()).hexdigest()
    return Work(lambda: _run("-c", LOAD, str(folder / DEVICE), MODEL), lambda told: told == wanted)


def reading(folder: Path) -> Work:
    """Read the plaintext."""
    wanted = hashlib.sha256((folder / PLAIN).read_bytes()).hexdigest()
    return Work(lambda: _run("-c", READ, str(folder / PLAIN)), lambda told: told == wanted)


def _run(*arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout.strip()


QUESTION = Question(
    name="start",
    title="A program on a device, from its start to its end, against Python that does nothing",
    script="device_start.py",
    made=installed,
    base="python",
    counts="starts",
    rows=(
        Row("python", "python -c pass", partial(program, arguments=("-c", "pass"))),
        Row("import", "import strongroom", partial(program, arguments=("-c", "import strongroom"))),
        Row("client", "import strongroom, and its device client", partial(program, arguments=CLIENT)),
        Row("help", "strongroom --help", partial(program, arguments=("-m", "strongroom", "--help"), says="Usage")),
        Row("download", "bare download of 1 MiB", downloading),
        Row("pull", "pull of the same model", pulling),
        Row("read", "read() of the plaintext, and its SHA-256", reading),
        Row("load", "load of the model, and its SHA-256", opening),
    ),
    goals=(),
)

if __name__ == "__main__":
    main(QUESTION)
