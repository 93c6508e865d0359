"""Makes `protocol-v1/`: transcripts of the protocol and their twins (docs/spec/protocol.md section 15).

    python tests/vectors/make_transcripts.py

writes them again, byte for byte the same; the tests make them in memory and compare.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from strongroom.canonical import encode
from vectors import (
    transcript_documents,
    transcript_keys,
    transcript_leases,
    transcript_proofs,
    transcript_releases,
)
from vectors.transcript_judge import judge
from vectors.transcript_scene import Transcript

FOLDER = Path(__file__).parent / "protocol-v1"
NOTE = "Test keys: anybody can make them. Never use one."


def transcripts() -> list[Transcript]:
    """Return every transcript."""
    rooms = (transcript_documents, transcript_proofs, transcript_releases, transcript_leases)
    return [one for room in rooms for one in room.stories()]


def written(transcript: Transcript) -> bytes:
    """Return the bytes of a transcript's file."""
    checks = []
    for one in transcript.checks.values():
        verdict, gives = judge(one["check"], one["inputs"])
        assert verdict == one["expect"], (transcript.name, one["name"], verdict)
        checks.append(one | {"gives": gives})
    value = {
        "name": transcript.name,
        "comment": transcript.comment,
        "note": NOTE,
        "keys": transcript.keys,
        "exchanges": transcript.exchanges,
        "checks": checks,
        "twins": transcript.twins,
    }
    return encode(value)


def everything() -> dict[str, bytes]:
    """Return every file of the folder by its name."""
    return {f"{one.name}.json": written(one) for one in transcripts()}


def main() -> None:
    """Write the folder, and what cannot be made twice."""
    FOLDER.mkdir(exist_ok=True)
    made = everything()
    for path in FOLDER.iterdir():
        if path.name not in made:
            path.unlink()
    for name, data in made.items():
        (FOLDER / name).write_bytes(data)
    text = json.dumps(transcript_keys.used, sort_keys=True, indent=0) + "\n"
    transcript_keys.KEPT.write_text(text, encoding="ascii", newline="\n")


if __name__ == "__main__":
    main()
