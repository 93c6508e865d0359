"""What is remembered of one entity: at most 256 bytes, packed without loss.

Times are kept in whole minutes and hours since the epoch. Packed, they are distances from the state's `base`, so that
two or three bytes suffice for years; `aged` moves the base before they would run over and forgets what is far too old
for any rule. Lists have fixed lengths: a full one forgets its oldest entry, so counts saturate.
"""

from typing import Final

from strongroom.risk.bearer import EVIDENCE, Bearer, State, forget
from strongroom.risk.entities import tag
from strongroom.risk.state_key import KeyState
from strongroom.risk.state_shared import AllState, BuildState, IdState
from strongroom.risk.state_user import UserState

__all__ = [
    "EVIDENCE", "MAX_BYTES", "AllState", "Bearer", "BuildState", "IdState", "KeyState", "State", "UserState", "forget",
    "rule_tag",
]  # fmt: skip

MAX_BYTES: Final = 256


def rule_tag(rule: str) -> int:
    """Return the 16 bits that stand for a rule inside a state; a rules file whose ids collide is refused."""
    return tag(f"rule\0{rule}") & 0xFFFF
