"""The rules of the risk engine as they are in force: read from risk.toml at the start, and again when it is asked for.

A file that is wrong stops a server that starts. One that is already running keeps the rules it has.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from strongroom.errors import Code, SetupError
from strongroom.risk.rules import Rules

EVENT_DAYS = 30  # that judged events are kept, for explanations and back-tests


@dataclass(slots=True)
class RulesInForce:
    """The one place of an office that is ever changed while it runs.

    Attributes:
        rules: by which is judged.
        read: reads the file again; None where there is none, as in tests.
        where: the file's name.
    """

    rules: Rules
    read: Callable[[], Rules] | None = None
    where: str = ""


@dataclass(frozen=True, slots=True)
class Watch:
    """What the use cases know of the risk engine's set-up.

    Attributes:
        in_force: the rules.
        event_days: how long judged events are kept.
        sleep: waits so many seconds; what a slowed answer is held back with.
        random: of the identifiers of events, and of how long an answer is held back.
    """

    in_force: RulesInForce = field(repr=False)
    event_days: int = EVENT_DAYS
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: Callable[[int], bytes] = os.urandom

    @property
    def rules(self) -> Rules:
        """The rules by which is judged in this moment."""
        return self.in_force.rules

    def reload(self) -> Rules:
        """Read the file of rules again, and judge by it from now on.

        Raises:
            SetupError: CONFIG with file and line, NOT_INITIALISED or PERMISSIONS; the running rules stay in force.
        """
        if self.in_force.read is None:
            raise SetupError(Code.CONFIG, "these rules come from no file")
        self.in_force.rules = self.in_force.read()
        return self.in_force.rules
