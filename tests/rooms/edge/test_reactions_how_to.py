"""The page for people who write apps runs as it stands there, against an office in memory."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

import strongroom
from rooms.edge.memory_office import USER_TOKEN
from rooms.edge.reacting_office import APPEAL, REFERENCE, AppDevice, ReactingOffice, releases
from strongroom.errors import Code

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "reactions.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
SIGN_IN, HEAR, SAY, APPEAL_TO = BLOCKS


@pytest.fixture
def office(tmp_path, monkeypatch):
    office = ReactingOffice()
    office.publish("digits", "1.0", {"w": b"one" * 1000}, counter=1)
    device = AppDevice(tmp_path / "device", office)
    monkeypatch.setattr(strongroom, "connect", device.app, raising=False)
    return office


def run(block, **names):
    exec(compile(block, PAGE.name, "exec"), names)  # noqa: S102 - our own page
    return names


def test_a_user_signs_in_again(office):
    office.refuses = releases(Code.STEP_UP)
    asked = []
    done = run(SIGN_IN, login_dialog=lambda text: asked.append(text) or USER_TOKEN)
    assert asked == [f"Please sign in again to use digits ({REFERENCE})."]
    assert done["size"] == 3000
    assert office.asked[-1].signals["build"] == "2.4.1+318"


def test_an_app_hears_words(office):
    office.words = ("slow-down", "sign-in-again", "word-of-2030")
    heard = []
    downloads = SimpleNamespace(pause=lambda *, seconds: heard.append(seconds))
    done = run(HEAR, downloads=downloads, banner=SimpleNamespace(show=heard.append))
    assert heard == [60, "We will soon ask you to sign in again for digits."]
    assert done["words"] == office.words


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (Code.RATE_LIMITED, "Try again in 7 seconds."),
        (Code.RESTRICTED, f"This device was stopped. Ask support about {REFERENCE}."),
        (Code.STEP_UP, "Please sign in again."),
    ],
)
def test_an_app_says_what_happened(office, code, said):
    office.headers = {"retry-after": "7"}
    office.refuses = releases(code)
    assert run(SAY)["message"] == said


def test_a_user_appeals(office):
    """R93: by the reference of the refusal."""
    assert run(APPEAL_TO, refused=SimpleNamespace(reference=REFERENCE))["appeal"] == APPEAL
    assert [one.reference for one in office.appeals] == [REFERENCE]
