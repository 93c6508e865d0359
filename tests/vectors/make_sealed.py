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
from vectors import sealed_json_cases as json_cases
from vectors import sealed_local_cases as local
from vectors import sealed_opening_cases as opening
from vectors import sealed_owner_cases as owners
from vectors import sealed_toc_cases as toc
from vectors.sealed_signers import KEPT, used
from vectors.sealed_writer import AEADS, Case, Plan, dump, expand, fixed, make

FOLDER = Path(__file__).parent / "sealed-v1"
WITHOUT_KEY = "without-key.json"
FORMS = {  # what steps 1 and 2 say
    "file-format",
    "file-limit",
    "file-trailing",
    "file-truncated",
    "file-unsupported",
    "json-not-canonical",
}
SCHEDULES = {
    "key-schedule.json": Plan("schedule"),
    "key-schedule-2.json": Plan("schedule 2", suite=2),
    "key-schedule-local.json": local.copy_of(Plan("schedule"), "schedule local")[0],
}


def cases() -> list[Case]:
    """Return every vector."""
    heads = [*head.preambles(), *head.heads(), *head.lists(), *head.secrets(), *json_cases.spellings()]
    signed = [*owners.trust(), *owners.hybrids(), *owners.points()]
    return [*opening.opening(), *heads, *signed, *body.segments(), *toc.tables(), *local.local_files()]


def without_key(case: Case) -> str:
    """Return what a reader without the key makes of a case: steps 1 to 3 and the digests of step 7, of any kind."""
    if case.plan.kind == "local":
        own_head = case.expect in FORMS and case.sound is not None and case.plan.toc == case.sound.toc
        return case.expect if own_head else "file-kind"
    return case.expect if case.expect in FORMS | {"file-signature", "file-digest"} else "success"


def schedule(plan: Plan) -> bytes:
    """Return every intermediate value of one file."""
    made = make(plan)
    salts = [fixed(f"salt {plan.name} {index}", 24) for index in range(2)]
    label = b"c2sp.org/chunked-encryption@v1+" + AEADS[plan.suite][0] + b"\x00"
    digest = hashlib.sha512(made.head).digest()
    values = {
        "mek": plan.key(),
        "file_id": fixed(f"file_id {plan.name}", 32),
        "prk": made.keys.prk,
        "commitment": made.keys.commitment,
        "mac_key": made.keys.mac,
        "payload_key": made.keys.payload,
        "blind_key": made.keys.blind,
        "head": made.head,
        "head_digest": digest,
        "signed": b"strongroom/v1 file\0" + digest,
        "toc": made.toc,
    }
    for index, salt in enumerate(salts):
        context = made.contexts[index]
        values |= {f"context_{index}": context, f"salt_{index}": salt, f"info_{index}": label + salt + context}
        values[f"derived_{index}"] = expand(made.keys.payload, values[f"info_{index}"], 76)
        values[f"segment_{index}"] = made.segments[index]
    values["file"] = made.data
    texts = {"suite": plan.suite, "subject_input": dump(plan.subject).decode(), "subject": made.core["subject"]}
    return json.dumps(texts | {name: value.hex() for name, value in values.items()}, indent=1).encode() + b"\n"


def everything() -> dict[str, bytes]:
    """Return each file of `sealed-v1/` by its name."""
    files = {f"{case.plan.name}.case": case.text() for case in cases()}
    verdicts = {case.plan.name: without_key(case) for case in cases()}
    files[WITHOUT_KEY] = json.dumps(dict(sorted(verdicts.items())), indent=1).encode() + b"\n"
    return files | {name: schedule(plan) for name, plan in SCHEDULES.items()}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    wanted = everything()
    for path in FOLDER.iterdir():
        if path.name not in wanted:
            path.unlink()
    for file_name, data in wanted.items():
        (FOLDER / file_name).write_bytes(data)
    KEPT.write_text(json.dumps(dict(sorted(used.items())), indent=1) + "\n", encoding="ascii")
