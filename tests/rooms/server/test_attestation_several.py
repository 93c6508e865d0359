"""Several models ask for one piece of evidence: it is proved once and judged by each, and Google is asked once."""

import base64
import json
from typing import Any

import pytest

from attesting_devices import KITS, AttestingDevice, new, office, rules
from protocol_client import Bench, HandDevice, run
from rooms.server.test_attestation import audited, refused
from stand_ins import APP_ID, PACKAGE, SIGNER
from strongroom.attest import judge
from strongroom.attest.policy import AppleRules, PlayRules
from strongroom.attest.verdict import Reaction, Refusal
from strongroom.errors import Code, UnreachableError
from strongroom.server.attestation.rations import MOST, SECONDS
from strongroom.wire.messages import Evidence
from watched_offices import calm

OTHER_APP, BETA = "TEAM123456.com.example.other", "com.example.beta"


@pytest.fixture
def proved(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The kinds of evidence that were proved, each time they were."""
    kinds: list[str] = []

    def verify(*given: Any, **others: Any) -> Any:
        kinds.append("app-attest")
        return genuine(*given, **others)

    genuine = judge._VERIFIERS["app-attest"]
    monkeypatch.setitem(judge._VERIFIERS, "app-attest", verify)
    return kinds


def apple(*app_ids: str) -> AppleRules:
    return AppleRules(app_ids, categories=(4,))


def test_evidence_of_an_enrolment_is_proved_once_however_many_ask_for_it(proved: list[str]) -> None:
    async def story(bench: Bench) -> None:
        ada = await new(bench)
        assert (await ada.enrol_with(ada.attestation)).status_code == 201
        (row,) = await bench.events("device.attested")
        assert row.detail["policy"] == "model9"  # the first that accepts it
        stranger = await new(bench, name="eve", phone=KITS.apple.phone("TEAM123456.com.example.none", category=4))
        response = await stranger.enrol_with(stranger.attestation)
        refused(response, "evidence")
        assert (await audited(bench, response))["verdict"] == "app"
        assert proved == ["app-attest"] * 2

    own = {f"model{n}": rules("app-attest", name=f"model{n}", apple=apple(OTHER_APP)) for n in range(9)}
    own["model9"] = rules("app-attest", name="model9", apple=apple(APP_ID))
    run(story, attestation=office("app-attest", apple=apple(OTHER_APP), models=own))


def test_mild_rules_of_another_app_do_not_take_what_is_not_theirs() -> None:
    """Rules that only note a wrong application are not rules for every application."""

    async def story(bench: Bench) -> None:
        ada = await new(bench)
        assert (await ada.enrol_with(ada.attestation)).status_code == 201
        (row,) = await bench.events("device.attested")
        assert row.detail["policy"] == "strict"

    mild = {"apple": apple(OTHER_APP), "reactions": {Refusal.APP: Reaction.OBSERVE}}
    strict = rules("app-attest", name="strict", apple=apple(APP_ID))
    run(story, attestation=office("app-attest", models={"strict": strict}, **mild))


class Asked:
    """Google, which says how often it was asked about which package; it may be down for one."""

    def __init__(self, down: str = "") -> None:
        self.down, self.packages = down, list[str]()

    async def decode(self, package: str, token: bytes) -> bytes:
        self.packages.append(package)
        if package == self.down:
            raise UnreachableError(Code.UNREACHABLE, "Google did not answer in time")
        return await KITS.play.decode(package, token)


def standard(ada: AttestingDevice) -> Any:
    def make(binding: Any) -> tuple[Evidence, ...]:
        verdict = KITS.play.verdict(binding.digest(), ada.bench.clock())
        return (Evidence("play", KITS.play.standard(verdict)),)

    return make


def play(*packages: str, **its: Any) -> PlayRules:
    return PlayRules(packages, (SIGNER,), **its)


@pytest.mark.parametrize("age", [120, 60], ids=["one age", "two ages"])
@pytest.mark.parametrize("down", ["", BETA], ids=["both answer", "one is in doubt"])
def test_google_is_asked_once_about_all_the_packages_of_who_takes_a_token(age: int, down: str) -> None:
    google = Asked(down)

    async def story(bench: Bench) -> None:
        ada = await new(bench)
        assert (await ada.enrol_with(standard(ada))).status_code == 201
        (row,) = await bench.events("device.enrolled")
        assert row.detail["evidence"] == "play"
        assert not await bench.events("device.attested")  # of a token nothing is kept
        assert google.packages == [BETA, PACKAGE]  # whoever is in doubt about one may know the other

    own = {name: rules("play", name=name, play=play(PACKAGE, max_age=age)) for name in ("digits", "letters")}
    run(story, attestation=office("play", decoder=google, models=own, play=play(BETA)))


def test_doubt_about_one_package_is_not_certainty_about_the_other() -> None:
    google = Asked(PACKAGE)

    async def story(bench: Bench) -> None:
        await bench.publish()
        ada = await new(bench)
        await ada.device.enrol()
        response = await ada.release(standard(ada))
        refused(response, "attestation-needed")
        assert google.packages == [PACKAGE, BETA]

    run(story, attestation=office("play", decoder=google, play=play(PACKAGE, BETA)))


def jwe(header: Any, size: int = 1000) -> bytes:
    head = base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=")
    return b".".join((head, b"A" * 54, b"A" * 16, b"A" * size, b"A" * 22))


GOOD = {"alg": "A256KW", "enc": "A256GCM"}
GARBAGE = {
    "nothing": b"",
    "no parts": b"A" * 1000,
    "five letters": b"a.b.c.d.e",
    "an empty part": jwe(GOOD, 0),
    "four parts": jwe(GOOD).rpartition(b".")[0],
    "six parts": jwe(GOOD) + b".AAAA",
    "not base64url": jwe(GOOD) + b"=",
    "two lines": jwe(GOOD) + b"\n",
    "another key wrap": jwe(GOOD | {"alg": "RSA-OAEP"}),
    "another cipher": jwe(GOOD | {"enc": "A128GCM"}),
    "no object": jwe([GOOD]),
    "too long": jwe(GOOD, 16_384),
}


@pytest.mark.parametrize("token", GARBAGE.values(), ids=GARBAGE)
def test_garbage_costs_no_call_to_google(token: bytes) -> None:
    google = Asked()

    async def story(bench: Bench) -> None:
        await bench.publish()
        ada = await new(bench)
        await ada.device.enrol()
        refused(await ada.release(lambda _: (Evidence("play", token),)), "evidence")
        refused(await ada.enrol_with(lambda _: (Evidence("play", token),)), "evidence")
        assert google.packages == []
        refused(await ada.release(lambda _: (Evidence("play", jwe(GOOD | {"kid": "1", "new": 2})),)), "evidence")
        assert google.packages == [PACKAGE]  # by its form it may be one, whatever else its header says

    run(story, attestation=office("play", decoder=google, play=play(PACKAGE)), watch=calm())


def test_one_device_does_not_use_up_what_google_answers_in_a_day() -> None:
    """Well-formed tokens of nobody: beyond a bound Google is not asked, and the device counts as who cannot attest."""
    google = Asked()

    async def story(bench: Bench) -> None:
        await bench.publish()
        ada, eve = await new(bench), await new(bench, "eve")
        await ada.device.enrol()
        await eve.device.enrol()
        for n in range(MOST):
            assert (
                await ada.release(lambda _, n=n: (Evidence("play", jwe(GOOD | {"kid": str(n)})),))
            ).status_code == 403
        assert len(google.packages) == MOST
        response = await ada.release(standard(ada))
        refused(response, "attestation-needed")
        assert "too often" in (await audited(bench, response, "attestation.needed"))["detail"]
        assert len(google.packages) == MOST
        assert (await eve.release(standard(eve))).status_code == 200  # others are not kept waiting
        bench.clock.advance(SECONDS)
        assert (await ada.release(standard(ada))).status_code == 200

    run(story, attestation=office("play", decoder=google, play=play(PACKAGE)), watch=calm())


def test_enrolments_of_one_user_are_counted_together() -> None:
    """A fresh device key for each enrolment costs nothing, so it is whose device it is to be that counts."""
    google = Asked()

    async def story(bench: Bench) -> None:
        ada = await new(bench)
        for n in range(MOST + 5):
            again = AttestingDevice(HandDevice(bench, ada.device.user_token))
            response = await again.enrol_with(lambda _, n=n: (Evidence("play", jwe(GOOD | {"kid": str(n)})),))
            assert response.status_code == (403 if n < MOST else 201)
        assert len(google.packages) == MOST

    run(story, attestation=office("play", decoder=google, play=play(PACKAGE)), watch=calm())
