"""What a device tells of itself with a request: short facts, in `signals` (docs/spec/protocol.md section 18).

They travel inside the body that the proof is made over, and so belong to one challenge. They name no person, and
nothing is decided by them here.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from strongroom.canonical import to_base64url
from strongroom.edge.state import State
from strongroom.edge.tamper import looking
from strongroom.edge.tamper.looking import Facts
from strongroom.errors import Code, InputError

MOST, LONGEST = 32, 200  # signals, and characters of one: what a request has room for
_BUILD = re.compile(r"[!-~](?:[ -~]{0,62}[!-~])?")


@dataclass(frozen=True, slots=True)
class Teller:
    """What tells the office of this installation.

    Attributes:
        build: what the app calls its build, or None.
        look: looks at this process; each request looks anew.
    """

    build: str | None = None
    look: Callable[[], Facts] = looking.look

    def tell(self, state: State, keystore: str, *, model: str | None = None) -> dict[str, str | int]:
        """Return the signals of a request.

        Args:
            state: what is remembered.
            keystore: what an attacker with the disk must break (`Keystore.strength`).
            model: the model that is asked for; None where nothing is fetched.
        """
        resumed = model is not None and any(one.model == model for one in state.partials)
        return of(self.look(), state, keystore=keystore, build=self.build, resumed=resumed)


def of(facts: Facts, state: State, *, keystore: str, build: str | None, resumed: bool) -> dict[str, str | int]:
    """Return facts as signals; what there is nothing to say of is left out.

    Args:
        facts: what was seen of this process.
        state: what is remembered.
        keystore: where keys are kept.
        build: what the app calls its build.
        resumed: whether a download that was begun goes on.
    """
    known = state.app_install
    said: dict[str, str | int] = {
        "keystore": keystore,
        "tamper": ",".join(facts.tamper),
        "place": ",".join(facts.place),
        "elsewhere": facts.elsewhere,
        "app_sig": facts.app_sig,
        "install": "" if known is None else to_base64url(known),
        "build": build or "",
        "resumed": int(resumed),
        "runs": state.runs,
    }
    kept = [(name, value) for name, value in said.items() if value]
    return {name: value[:LONGEST] if isinstance(value, str) else value for name, value in kept[:MOST]}


def runs_in(signals: dict[str, str | int]) -> int:
    """Return how many openings a request tells of."""
    runs = signals.get("runs", 0)
    return runs if isinstance(runs, int) else 0


def checked_build(build: object) -> str | None:
    """Return what an app calls its build. Raises InputError(ARGUMENT) for what is no short plain text."""
    if build is None or (isinstance(build, str) and _BUILD.fullmatch(build)):
        return build
    step = "give 1 to 64 printable ASCII characters without spaces at either end, such as 2.4.1+318"
    raise InputError(Code.ARGUMENT, "build is not what a build can be called", next_step=step)
