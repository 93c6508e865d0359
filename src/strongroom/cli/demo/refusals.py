"""What must not work, tried with real bytes against the real server: each is refused, and by the right check."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

from strongroom.cli.demo.scene import Scene
from strongroom.cli.demo.show import Refusal, Report
from strongroom.errors import Code

Act = dict[str, object]


def attempt(scene: Scene, reference: str, outsider: Act, second: Act, report: Report) -> None:
    """Try everything; what is not refused as it must be is a difference in the report.

    Args:
        scene: where the story plays.
        reference: the model that ada was released.
        outsider: enrols mallory's device, of an account that is not entitled.
        second: enrols a second device of ada's account.
        report: takes what came of it.
    """
    _not_entitled(scene, reference, outsider, report)
    _tampered(scene, reference, second, report)
    replayed, expired = scene.ada.attempt(
        {"do": "replay", "reference": reference}, {"do": "expire", "reference": reference}
    )
    _refused(scene, report, "the bytes of a good request, sent again", replayed["unchanged"], Code.PROOF)
    _refused(scene, report, "the same request under a fresh proof", replayed["fresh"], Code.CHALLENGE)
    used = f", used after {expired['seconds']:.1f} s" if "seconds" in expired else ""
    _refused(scene, report, f"a link of one second{used}", expired, Code.URL_EXPIRED)
    _of_another(scene, reference, str(replayed["answer"]), report)


def _not_entitled(scene: Scene, reference: str, outsider: Act, report: Report) -> None:
    enrolled, told = scene.mallory.attempt(outsider, {"do": "pull", "reference": reference})
    report.check(holds="device" in enrolled, otherwise=f"mallory could not enrol: {enrolled}")
    _refused(scene, report, "mallory, enrolled but not entitled, asks for the model", told, Code.NOT_FOUND)


def _tampered(scene: Scene, reference: str, second: Act, report: Report) -> None:
    """Flip one bit in the bucket, let a fresh device of the entitled account fetch it, and mend the bucket again."""
    (stored,) = scene.objects
    at = stored.stat().st_size // 2
    _flip(stored, at)
    try:
        acts: tuple[Act, ...] = ({"do": "pull", "reference": reference}, {"do": "has", "reference": reference})
        enrolled, told, left = scene.second.attempt(second, *acts)
    finally:
        _flip(stored, at)
    report.check(holds="device" in enrolled, otherwise=f"the second device could not enrol: {enrolled}")
    _refused(scene, report, "one bit of the file in the bucket is flipped", told, Code.FILE_DIGEST)
    nothing = left.get("error", {}).get("code") == Code.NOT_INSTALLED
    report.check(holds=nothing, otherwise="a tampered file left something behind that opens")


def _of_another(scene: Scene, reference: str, answer: str, report: Report) -> None:
    """Give mallory's device all that ada's was given: the server's answer, then the whole store but for the keys."""
    told = scene.mallory("foreign", reference=reference, answer=answer)
    shown, forced = told["client"], told["forced"]
    _refused(scene, report, "mallory's client is shown the answer that ada's device got", shown, Code.GRANT_MISMATCH)
    _refused(scene, report, "mallory opens the key in it without asking the client", forced, Code.SEALED_KEY)
    stolen = scene.mallory.home
    shutil.copytree(scene.ada.home / "models", stolen / "models", dirs_exist_ok=True)
    shutil.copyfile(scene.ada.home / "state.json", stolen / "state.json")
    (told,) = scene.mallory.attempt({"do": "has", "reference": reference})
    _refused(scene, report, "mallory copies ada's models and state beside own keys", told, Code.STORE_DAMAGED)


def _refused(scene: Scene, report: Report, attack: str, told: dict[str, Any], *expected: Code) -> None:
    told = told.get("error", told)
    answer = str(told.get("what", told))
    logged = _logged(scene, answer)
    report.refused(Refusal(attack, tuple(map(str, expected)), str(told.get("code", "")), answer, logged))


def _logged(scene: Scene, answer: str) -> str:
    """Return what the office's log says under the reference that the answer carries."""
    reference = re.search(r"ref_[\w-]{22}", answer)
    lines = scene.log.read_text(encoding="utf-8", errors="replace").splitlines()
    found = (json.loads(line) for line in lines if reference and f'"{reference[0]}"' in line)
    return next((str(line["what"]) for line in found if "what" in line), "")


def _flip(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 1]))
