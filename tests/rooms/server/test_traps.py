"""Decoys: each kind fires, after its answer, and charges whom the request itself names."""

import json
import os

import pytest

from protocol_client import JSON, Bench, HandDevice, problem, run
from strongroom.server.bait.board import Traps
from strongroom.server.bait.marks import Marks
from strongroom.server.bait.shipped import CANDIDATES, CHOSEN, shipped
from strongroom.server.http.app_device import create_device_app
from strongroom.server.identify import Visit
from strongroom.server.office import Office
from strongroom.server.ports import AuditEvent
from strongroom.server.traps import hits, keeper, sight
from strongroom.server.traps.loading import load
from strongroom.server.traps.wanted import REAL
from strongroom.wire.messages import UrlsRequest
from touching_decoys import added, alerts, decoy_events, route_of, row_of, touch


def _mac(key: bytes) -> "Marks":
    return Marks(lambda data: (key + data)[:32].ljust(32, b"\0"))


def test_marks_are_known_by_their_key_alone() -> None:
    mine, other = _mac(b"one key"), _mac(b"another")
    made = mine.identifier("lse", "dcy_a")
    assert mine.is_identifier(made)
    assert made == mine.identifier("lse", "dcy_a") != mine.identifier("lse", "dcy_b")
    assert not other.is_identifier(made)
    assert not mine.is_identifier("rel" + made[3:])  # of another kind
    assert not mine.is_identifier(made[:-1])
    assert not mine.is_identifier("lse_" + "=" * 22)


def test_offices_differ_in_the_routes_they_were_shipped_with() -> None:
    first, second = ({row.name for row in shipped(_mac(bytes([number]) * 8))} for number in (1, 2))
    assert len(first) == CHOSEN == len(second)
    assert first != second
    assert first | second <= {one.name for one in CANDIDATES}


def test_a_decoy_never_stands_before_a_real_route() -> None:
    async def story(bench: Bench) -> None:
        decoys = {row.name.partition(" ")[2] for row in bench.office.traps.known.endpoints()}
        app = create_device_app(bench.office)
        paths = {getattr(route, "path", "") for route in app.router.routes} - decoys
        assert {"/".join("{}" if "{" in part else part for part in path.split("/")) for path in paths} == set(REAL)
        for path in ("/v1/releases", "GET /v1/releases/{release_id}/urls", "/v1/{word}", "/o/{name}"):
            answer = await bench.ask("POST", "/v1/decoys", {"kind": "endpoint", "name": path, "note": ""})
            assert (answer.status_code, answer.json()["code"]) == (400, "argument"), path

    run(story)


def test_a_route_touched_without_a_token_is_noise() -> None:
    async def story(bench: Bench) -> None:
        for row in bench.office.traps.known.endpoints():
            method, path = route_of(row)
            answer = await bench.devices.request(method, path, headers=JSON if method == "POST" else {})
            assert problem(answer)["code"] == "unauthenticated"
        await bench.office.traps.settled()
        assert [row.event for row in await decoy_events(bench)] == ["decoy.noise"]  # one a minute and address
        assert await alerts(bench) == []
        assert bench.office.limits.throttle.factor("127.0.0.1", bench.clock()) < 1

    run(story)


def test_a_route_touched_by_a_device_stops_it() -> None:
    """R97: the device is stopped within the follow-up of this one request; one alert an hour, every hit written."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        device, other = await bench.device("ada", "digits"), await bench.device("eve", "digits")
        row = bench.office.traps.known.endpoints()[0]
        method, path = route_of(row)
        body = b"{}" if method == "POST" else None
        answer = await touch(device, method, path, body)
        assert problem(answer)["code"] in {"not-found", "shape"}  # as a real route, not as a stopped device
        assert (await device.try_release(await _blank(device))).status_code in {401, 403}
        refused = await touch(device, method, path, body)
        assert refused.status_code in {401, 403}
        (hit,) = [one for one in await decoy_events(bench) if one.event == "decoy.hit"]
        assert (hit.actor, hit.subject, hit.detail["stopped"]) == (device.id, row.id, 1)
        (alert,) = await alerts(bench)
        told = json.loads(alert.body)
        assert (told["type"], told["data"]["device"], told["data"]["stopped"]) == ("decoy.hit", device.id, True)
        assert (await row_of(bench, row.id)).hits == 1
        assert (await other.try_release()).status_code == 200

    run(story)


async def _blank(device):
    """Write a request without asking for a challenge, which a stopped device is refused."""
    return (await device.release_request(challenge=os.urandom(32)))[0]


@pytest.mark.parametrize("sort", ["device", "user", "operator"])
def test_a_token_that_nobody_was_given(sort: str) -> None:
    """R95: it has the look of a real one, is refused like a barred one's, and charges whoever's key shows it."""

    async def story(bench: Bench) -> None:
        decoy = await added(bench, "token", "ci", sort=sort)
        token = decoy["shows"]["token"]
        device = await bench.device("ada")
        real = {"device": device.token, "user": device.user_token, "operator": bench.admin_token}[sort]
        assert len(token) == pytest.approx(len(real), abs=2)
        assert token.split(".")[0] == (real.split(".")[0] if "." in real else token)
        if sort == "operator":
            refused = await bench.ask("GET", "/v1/whoami", token=token)
            await bench.office.traps.settled()
        else:
            by = "DPoP" if sort == "device" else "Bearer"
            purpose = b'{"purpose":"urls"}' if sort == "device" else b'{"purpose":"enrol"}'
            refused = await touch(device, "POST", "/v1/challenges", purpose, token=token, by=by)
        assert (refused.status_code, refused.json()["code"]) == (401, "token")
        (hit,) = await decoy_events(bench)
        known = sort != "operator"  # the admin API asks for no proof
        assert (hit.event, hit.subject, hit.detail["stopped"]) == ("decoy.hit", decoy["id"], int(known))
        assert hit.actor == (device.id if known else "127.0.0.1")
        assert len(await alerts(bench)) == 1
        # an app can be made to show a token that somebody gave it: its user is not stopped for that
        owner = bench.ledger.tables.devices[0].user
        assert [row.state for row in bench.ledger.tables.users if row.id == owner] == ["active"]

    run(story)


def test_strangers_fill_no_disk() -> None:
    """R97: hits by nobody known are all counted, and written down once a minute for each decoy and network."""

    async def story(bench: Bench) -> None:
        decoy = await row_of(bench, (await added(bench, "canary", "datasheet"))["id"])
        for last in range(50):
            await hits.hit(bench.office, decoy, None, None, Visit(bench.clock(), "r", "", "", f"2001:db8::{last:x}"))
        assert (await row_of(bench, decoy.id)).hits == 50
        assert len(await decoy_events(bench)) == len(await alerts(bench)) == 1

    run(story)


def test_a_token_shown_by_a_stranger_charges_nobody() -> None:
    async def story(bench: Bench) -> None:
        decoy = await added(bench, "token", "ci", sort="device")
        headers = JSON | {"Authorization": f"DPoP {decoy['shows']['token']}", "DPoP": "a.b.c"}
        answer = await bench.devices.post("/v1/challenges", content=b'{"purpose":"urls"}', headers=headers)
        await bench.office.traps.settled()
        assert answer.status_code == 401
        (hit,) = await decoy_events(bench)
        assert (hit.event, hit.actor) == ("decoy.hit", "127.0.0.1")

    run(story)


def test_tokens_that_are_hostile_text_are_no_decoys() -> None:
    traps = Traps(lambda data: data[:32].ljust(32, b"\0"))
    for text in ("", "..", "a.b.c", "a." + "[" * 4000 + ".c", "sro_" + "A" * 43, "x." + "e30" + ".y", "a.W10.b"):
        assert sight.token_thing(traps, text) == ""


@pytest.mark.parametrize("what", ["lease_id", "release_id"])
def test_what_the_app_package_holds(what: str) -> None:
    """R95: a planted lease or release is refused as any that is not one's own, and stops who tries it."""

    async def story(bench: Bench) -> None:
        decoy = await added(bench, "key", "resources")
        device = await bench.device("ada")
        thing = decoy["shows"][what]
        path = f"/v1/leases/{thing}/renew" if what == "lease_id" else f"/v1/releases/{thing}/urls"
        answer = await touch(device, "POST", path, b"{}")
        assert problem(answer)["code"] == "shape"
        (hit,) = await decoy_events(bench)
        assert (hit.subject, hit.actor, hit.detail["stopped"]) == (decoy["id"], device.id, 1)
        assert len(bytes.fromhex(decoy["shows"]["key"])) == 32

    run(story)


def test_a_decoy_model_is_given_and_then_stops() -> None:
    async def story(bench: Bench) -> None:
        await bench.publish("digits-full")
        decoy = await added(bench, "model", "digits-full")
        device = await bench.device("ada", "digits-full")
        _, keys = await device.release(model="digits-full")
        assert len(keys) == 1
        await bench.office.traps.settled()
        (hit,) = await decoy_events(bench)
        assert (hit.subject, hit.actor, hit.detail["stopped"]) == (decoy["id"], device.id, 1)

    run(story)


def test_a_canary_warns_and_bars_nobody() -> None:
    async def story(bench: Bench) -> None:
        decoy = await added(bench, "canary", "datasheet")
        url = decoy["shows"]["url"]
        real = bench.store.signed_url("GET", os.urandom(16).hex(), expires=bench.clock() + 300)
        assert len(url) == len(real)
        fetched, nothing = await bench.devices.get(url), await bench.devices.get(real)
        assert (fetched.status_code, fetched.json()["code"]) == (nothing.status_code, nothing.json()["code"])
        await bench.office.traps.settled()
        (hit,) = await decoy_events(bench)
        assert (hit.event, hit.subject, hit.detail["stopped"]) == ("decoy.hit", decoy["id"], 0)
        (alert,) = await alerts(bench)
        assert json.loads(alert.body)["type"] == "decoy.fetched"
        assert bench.office.limits.throttle.factor("127.0.0.1", bench.clock()) == 1
        known = await bench.device("ada")
        (device,) = bench.ledger.tables.devices
        await hits.hit(bench.office, await row_of(bench, decoy["id"]), device, None, Visit(bench.clock(), "r", "", ""))
        assert (await known.send("/v1/challenges", b'{"purpose":"urls"}')).status_code == 200

    run(story)


def test_a_field_is_evidence_and_no_stop() -> None:
    async def story(bench: Bench) -> None:
        await bench.publish()
        decoy = await added(bench, "field", "is_staff")
        device = await bench.device("ada", "digits")
        assert (await device.try_release(signals={"is_staff": 1})).status_code == 200
        await bench.office.traps.settled()
        (hit,) = await decoy_events(bench)
        assert (hit.subject, hit.detail["stopped"]) == (decoy["id"], 0)
        for name in ("tamper", "install", "IsStaff"):
            answer = await bench.ask("POST", "/v1/decoys", {"kind": "field", "name": name, "note": ""})
            assert answer.status_code == 400

    run(story)


def test_a_hit_that_a_crash_came_before_is_found_at_the_next_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal is written inside the request; what follows from it is not lost with the process."""

    async def story(bench: Bench) -> None:
        decoy = await added(bench, "endpoint", "POST /v2/releases/{release_id}/raw")
        device, patient = await bench.device("ada"), await bench.device("eve")
        with monkeypatch.context() as dying:
            dying.setattr(Traps, "follow", lambda _, work: work.close())
            for one in (device, patient):
                asked = UrlsRequest(await one.challenge("urls", None), "a.b.c", None)
                answer = await touch(one, "POST", f"/v2/releases/rel_{'B' * 22}/raw", asked.to_bytes())
                assert problem(answer)["code"] == "not-found"
        assert await decoy_events(bench) == []
        assert await keeper.recover(bench.office) == 2
        assert await keeper.recover(bench.office) == 0
        assert [(one.subject, one.actor) for one in await decoy_events(bench)] == [
            (decoy["id"], device.id),
            (decoy["id"], patient.id),
        ]

    run(story)


@pytest.mark.parametrize("sort", ["device", "user", "operator"])
def test_a_token_that_a_crash_came_before_is_found_once(sort: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal's row says which token it was, if not who showed it; what is known of already is not told again."""

    async def story(bench: Bench) -> None:
        decoy = await added(bench, "token", "ci", sort=sort)
        device = await bench.device("ada")

        async def shown(token: str) -> None:
            if sort == "operator":
                answer = await bench.ask("GET", "/v1/whoami", token=token)
                await bench.office.traps.settled()
            else:
                by, purpose = (
                    ("DPoP", b'{"purpose":"urls"}') if sort == "device" else ("Bearer", b'{"purpose":"enrol"}')
                )
                answer = await touch(device, "POST", "/v1/challenges", purpose, token=token, by=by)
            assert answer.status_code == 401

        with monkeypatch.context() as dying:
            dying.setattr(Traps, "follow", lambda _, work: work.close())
            for _ in range(3):  # each has a row of its own; one alert says all there is to say
                await shown(decoy["shows"]["token"])
                bench.clock.advance(61)
        assert await decoy_events(bench) == []
        assert await keeper.recover(bench.office) == 1
        assert await keeper.recover(bench.office) == 0
        (hit,) = await decoy_events(bench)
        assert (hit.event, hit.subject, hit.actor, hit.detail["stopped"]) == ("decoy.hit", decoy["id"], "", 0)
        assert len(await alerts(bench)) == 1
        bench.clock.advance(3600)
        await shown(decoy["shows"]["token"])  # followed up in time
        bench.clock.advance(3600)
        assert await keeper.recover(bench.office) == 0
        assert len(await decoy_events(bench)) == 2

    run(story)


def test_a_stranger_s_hit_without_a_row_of_its_own_is_not_told_again() -> None:
    """Refusals and hits are a row a minute each, by minutes of their own: the hit may be in a row before."""

    async def story(bench: Bench) -> None:
        decoy = await added(bench, "token", "ci", sort="operator")
        for token, seconds in ((f"sro_{'A' * 43}", 30), (decoy["shows"]["token"], 31), (decoy["shows"]["token"], 300)):
            await bench.ask("GET", "/v1/whoami", token=token)
            await bench.office.traps.settled()
            bench.clock.advance(seconds)
        first, last = await bench.events("caller.refused")
        assert {name: len(str(value)) for name, value in first.detail.items()} == {
            name: len(str(value)) for name, value in last.detail.items()
        }  # what nobody was given and what nobody knows leave rows of one size
        (hit,) = await decoy_events(bench)
        assert hit.detail["reference"] != last.detail["reference"]
        assert await keeper.recover(bench.office) == 0

    run(story)


@pytest.mark.parametrize("text", ["sro_short", f"sro_{'A' * 43}x", "correct-horse", "sro_" + "=" * 43])
def test_what_is_no_operator_token_leaves_no_trace(text: str) -> None:
    """A password in the wrong place could be guessed from its hash, so there is none."""

    async def story(bench: Bench) -> None:
        await bench.ask("GET", "/v1/whoami", token=text)
        bench.clock.advance(60)
        await bench.ask("GET", "/v1/whoami", token=f"sro_{'A' * 43}")
        bad, good = await bench.events("caller.refused")
        assert "shown" not in bad.detail
        assert len(good.detail["shown"]) == 32

    run(story)


@pytest.mark.parametrize("what", ["granted", "refused", "renewed", "not renewed"])
def test_a_field_that_a_crash_came_before_is_found(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The row of the request names fields of our own list, and no more rows are written than without one."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        decoy = await added(bench, "field", "is_staff")
        thief, honest = await bench.device("eve", "digits"), await bench.device("ada", "digits")
        with monkeypatch.context() as dying:
            dying.setattr(Traps, "follow", lambda _, work: work.close())
            rows = [await _asked(bench, one, what, {name: 1}) for one, name in ((thief, "is_staff"), (honest, "mine"))]
        assert [row.event for row in rows[0]] == [row.event for row in rows[1]]
        assert [row.detail.get("honey") for row in rows[0] if "honey" in row.detail] == ["is_staff"]
        assert not [row for row in rows[1] if "honey" in row.detail or "mine" in repr(row)]
        assert await decoy_events(bench) == []
        assert await keeper.recover(bench.office) == 1
        assert await keeper.recover(bench.office) == 0
        assert [(one.subject, one.actor) for one in await decoy_events(bench)] == [(decoy["id"], thief.id)]

    run(story)


async def _asked(bench: Bench, device: HandDevice, what: str, signals: dict[str, str | int]) -> list[AuditEvent]:
    """Send a release or a renewal with these signals; return the rows that it left."""
    lease = await device.leased() if "renewed" in what else None
    start = len(bench.ledger.tables.audit)
    if what == "granted":
        assert (await device.try_release(signals=signals)).status_code == 200
    elif what == "refused":
        assert (await device.try_release(model="none", signals=signals)).status_code == 404
    elif lease is not None:
        changes = {"challenge": os.urandom(32)} if what == "not renewed" else {}
        answer = await device.try_renew(lease, signals=signals, **changes)
        assert answer.status_code == (403 if changes else 200)
    return [row for row in bench.ledger.tables.audit[start:] if row.event.startswith(("release.", "lease."))]


def test_of_two_decoys_in_one_request_the_one_that_was_left_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process dies between the two: the first one's row does not stand for the second."""

    async def story(bench: Bench) -> None:
        await bench.publish("digits-full")
        model, field = await added(bench, "model", "digits-full"), await added(bench, "field", "is_staff")
        device = await bench.device("ada", "digits-full")
        settle = hits.settle

        async def first(office: Office, seen: list[sight.Seen]) -> None:
            await settle(office, seen[:1])

        with monkeypatch.context() as dying:
            dying.setattr(hits, "settle", first)
            assert (await device.try_release(model="digits-full", signals={"is_staff": 1})).status_code == 200
            await bench.office.traps.settled()
        assert [one.subject for one in await decoy_events(bench)] == [model["id"]]
        assert await keeper.recover(bench.office) == 1
        assert [one.subject for one in await decoy_events(bench)] == [model["id"], field["id"]]

    run(story)


def test_what_was_asked_for_before_it_became_a_decoy_is_no_hit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A real model becomes a decoy, goes, and comes again, and the server starts anew each time."""

    async def story(bench: Bench) -> None:
        await bench.publish("old")
        honest, late, thief = [await bench.device(name, "old") for name in ("ada", "bob", "eve")]
        await honest.release(model="old")
        await bench.wipe(honest)
        decoy = await added(bench, "model", "old")
        assert await keeper.recover(bench.office) == 0
        await bench.ask("POST", f"/v1/decoys/{decoy['id']}/remove")
        await late.release(model="old")
        await bench.wipe(late)
        await added(bench, "model", "old")
        assert await keeper.recover(bench.office) == 0
        with monkeypatch.context() as dying:
            dying.setattr(Traps, "follow", lambda _, work: work.close())
            await thief.release(model="old")
        assert await keeper.recover(bench.office) == 1
        assert [row.actor for row in await decoy_events(bench)] == [thief.id]

    run(story)


def test_a_model_that_devices_use_cannot_become_a_decoy() -> None:
    """A wrong word in `decoy add model` would stop everybody; who was stopped already does not keep it from that."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        honest = await bench.device("ada", "digits")
        await honest.release()
        wanted = {"kind": "model", "name": "digits", "note": ""}
        refused = await bench.ask("POST", "/v1/decoys", wanted)
        assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
        assert honest.id
        assert honest.id in refused.json()["next"]
        async with bench.ledger.begin() as tx:
            await tx.set_device_state(honest.id, "stopped")
        assert (await bench.ask("POST", "/v1/decoys", wanted)).status_code == 201

    run(story)


def test_old_rows_are_not_searched() -> None:
    async def story(bench: Bench) -> None:
        device = await bench.device("ada")
        for _ in range(40):
            await device.challenge("urls", None)
            assert (await device.try_release()).status_code == 404
            bench.clock.advance(60)
        async with bench.ledger.begin() as tx:
            every = await tx.audit(limit=10_000)
            since = bench.clock() - 600
            wanted = [number for number, row in every if row.at >= since]
            assert await keeper.first_since(tx, since) == wanted[0] - 1
            assert await keeper.first_since(tx, 0) == 0
            assert await keeper.first_since(tx, bench.clock() + 1) >= every[-1][0]

    run(story)


def test_decoys_come_and_go_without_a_restart() -> None:
    async def story(bench: Bench) -> None:
        decoy = await added(bench, "endpoint", "/v2/weights/{model}")
        assert decoy["name"] == "POST /v2/weights/{model}"
        again = await bench.ask("POST", "/v1/decoys", {"kind": "endpoint", "name": "/v2/weights/{model}", "note": ""})
        assert again.status_code == 409
        assert (await bench.devices.post("/v2/weights/digits", headers=JSON)).status_code == 401
        assert (await bench.devices.get("/v2/weights/digits")).status_code == 405
        document = (await bench.devices.get("/openapi.json")).json()
        shown, real = (
            document["paths"][path]["post"] for path in ("/v2/weights/{model}", "/v1/releases/{release_id}/urls")
        )
        assert set(shown) == set(real)
        assert shown["requestBody"] == real["requestBody"]
        assert shown["security"] == real["security"]
        assert shown["parameters"][0].keys() == real["parameters"][0].keys()
        assert (await bench.ask("POST", f"/v1/decoys/{decoy['id']}/remove")).status_code == 200
        assert (await bench.devices.post("/v2/weights/digits", headers=JSON)).status_code == 404
        listed = (await bench.ask("GET", "/v1/decoys")).json()["decoys"]
        assert decoy["id"] not in {one["id"] for one in listed}
        assert len(listed) == CHOSEN
        back = await added(bench, "endpoint", "/v2/weights/{model}")
        assert back["id"] == decoy["id"]

    run(story)


def test_a_shipped_route_that_was_removed_stays_so() -> None:
    async def story(bench: Bench) -> None:
        listed = (await bench.ask("GET", "/v1/decoys")).json()["decoys"]
        await bench.ask("POST", f"/v1/decoys/{listed[0]['id']}/remove")
        await load(bench.office)
        assert {row.id for row in bench.office.traps.known.endpoints()} == {one["id"] for one in listed[1:]}

    run(story)


def test_another_process_learns_of_a_decoy_by_its_first_hit() -> None:
    async def story(bench: Bench) -> None:
        decoy = await added(bench, "token", "ci", sort="device")
        bench.office.traps.learn(())  # as in a process that has not looked again yet
        device = await bench.device("ada")
        await touch(device, "POST", "/v1/challenges", b'{"purpose":"urls"}', token=decoy["shows"]["token"])
        assert [row.subject for row in await decoy_events(bench)] == [decoy["id"]]

    run(story)


def test_roles() -> None:
    async def story(bench: Bench) -> None:
        tokens = {role: await bench.operator(role, role) for role in ("publisher", "operator", "auditor", "security")}
        new = {"kind": "canary", "name": "page", "note": ""}
        for role, token in tokens.items():
            may = role == "security"
            assert (await bench.ask("POST", "/v1/decoys", new, token)).status_code == (201 if may else 403), role
            assert (await bench.ask("POST", "/v1/exercises", {}, token)).status_code == (201 if may else 403), role
            reads = await bench.ask("GET", "/v1/decoys", token=token)
            assert reads.status_code == (403 if role == "publisher" else 200), role
            one = f"/v1/decoys/{bench.office.traps.known.endpoints()[0].id}"
            assert (await bench.ask("GET", one, token=token)).status_code == (200 if may else 403), role

    run(story)
