"""Makes `sealed-v1/`: vectors of the sealed file, one failure each (docs/spec/sealed-file.md section 14).

    python tests/vectors/make_sealed.py

writes them again, byte for byte the same; the tests run it in memory and compare.
"""

import hashlib
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from vectors import sealed_body_cases as body
from vectors import sealed_head_cases as head
from vectors.sealed_writer import AEADS, Case, Plan, dump, fixed, make

FOLDER = Path(__file__).parent / "sealed-v1"
SCHEDULE, SCHEDULE_2 = "key-schedule.json", "key-schedule-2.json"


def cases() -> list[Case]:
    """Return every vector."""
    heads = [*head.opening(), *head.preambles(), *head.json_forms(), *head.heads(), *head.trust(), *head.secrets()]
    return [*heads, *body.segments(), *body.tables(), *body.local_files(), *body.second_suite()]


def schedule(name: str = "schedule", suite: int = 1) -> bytes:
    """Return every intermediate value of one file."""
    plan = Plan(name, suite=suite)
    made = make(plan)
    salt = fixed(f"salt {name} 1", 24)
    info = b"c2sp.org/chunked-encryption@v1+" + AEADS[suite][0] + b"\x00" + salt + made.contexts[1]
    values = {
        "mek": plan.key(),
        "file_id": fixed(f"file_id {name}", 32),
        "prk": made.keys.prk,
        "commitment": made.keys.commitment,
        "mac_key": made.keys.mac,
        "payload_key": made.keys.payload,
        "blind_key": made.keys.blind,
        "head": made.head,
        "head_digest": hashlib.sha512(made.head).digest(),
        "toc": made.toc,
        "context_1": made.contexts[1],
        "salt_1": salt,
        "info_1": info,
        "segment_1": made.segments[1],
        "file": made.data,
    }
    texts = {"suite": suite, "subject_input": dump(plan.subject).decode(), "subject": made.core["subject"]}
    return json.dumps(texts | {name: value.hex() for name, value in values.items()}, indent=1).encode() + b"\n"


def everything() -> dict[str, bytes]:
    """Return each file of `sealed-v1/` by its name."""
    files = {f"{case.plan.name}.case": case.text() for case in cases()}
    return files | {SCHEDULE: schedule(), SCHEDULE_2: schedule("schedule 2", 2)}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    wanted = everything()
    for path in FOLDER.iterdir():
        if path.name not in wanted:
            path.unlink()
    for file_name, data in wanted.items():
        (FOLDER / file_name).write_bytes(data)
