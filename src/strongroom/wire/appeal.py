"""An appeal: a stopped device asks the office's people to look again (docs/spec/protocol.md section 18).

It changes nothing by itself. The text is for a person to read, and hostile like everything that arrives.
"""

from dataclasses import dataclass

from strongroom.shapes import Object, Text
from strongroom.wire.messages import ID, TIME, Message

MOST_SAID = 500  # characters


@dataclass(frozen=True, slots=True)
class AppealRequest(Message):
    """`POST /v1/appeals`: ask to be let in again; `reference` is the one that a refusal came with."""

    reference: str
    text: str

    SHAPE = Object({"reference": Text(64, r"[A-Za-z0-9_:.-]*"), "text": Text(MOST_SAID)})
    LIMIT = 8192


@dataclass(frozen=True, slots=True)
class AppealAnswer(Message):
    """The appeal is written down, and waits for a person."""

    appeal: str
    server_time: int

    SHAPE = Object({"appeal": ID, "server_time": TIME})
