"""Decoy twins: a second set of files of a version, for the deceived and for nobody else (docs/decisions/0027)."""

import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import pytest

from protocol_client import DEVICES, PLAIN, Bench, SealedModel, have, open_model, problem, run
from strongroom import sealed
from strongroom.server import checking, entitled
from strongroom.server.ledger import upgrade
from strongroom.server.ledger.engine import sqlite_url
from strongroom.server.ledger.sql import SqlLedger
from strongroom.server.stores.folder import FolderStore
from strongroom.server.vaults.keyring import Keyring
from strongroom.signing import ED25519, SigningKey

DECOY = PLAIN[::-1]
PATH = "/v1/models/digits/versions/1.0/twin"
VERSIONS_PATH = "/v1/models/digits/versions/1.0"


@pytest.fixture
def deceive(monkeypatch):
    """Whom policy deceives: a switch in the place of the risk engine's decision."""
    switch, real = {"on": False}, entitled.twin
    monkeypatch.setattr(entitled, "twin", lambda found, *, deceived: real(found, deceived=deceived or switch["on"]))
    return switch


def seal(bench: Bench, *, plain: bytes = DECOY, name: str = "model.bin", **changes: Any) -> SealedModel:
    """Seal a decoy for the place of digits 1.0."""
    key, sink = sealed.ModelKey.generate(), io.BytesIO()
    head = sealed.seal(
        [sealed.Source.of_bytes(name, plain)],
        sink,
        mek=key,
        subject=sealed.Subject(None, "digits", changes.pop("version", "1.0"), None),
        **{"signers": (bench.owner,), "epoch": 1, "counter": 1, "segment_size": 2**20} | changes,
    )
    return SealedModel(sink.getvalue(), head, key, "digits", "1.0")


async def deposit(bench: Bench, made: SealedModel, token: str | None = None, **changes: Any) -> Any:
    body = await bench.deposit_of(made, token, **changes)
    body.pop("channel")
    return await bench.ask("POST", "/v1/twins", body, token)


async def publish_twin(bench: Bench) -> SealedModel:
    """Publish a decoy twin of digits 1.0 the whole way."""
    made = seal(bench)
    answer = await deposit(bench, made)
    assert answer.status_code == 201, answer.text
    for upload in answer.json()["uploads"]:
        assert (await bench.devices.put(upload["url"], content=made.data)).status_code == 201
    assert (await bench.ask("POST", f"{PATH}/complete")).json()["state"] == "checking"
    await bench.background.drain()
    assert (await bench.ask("GET", PATH)).json()["state"] == "ready"
    return made


async def content(bench: Bench, grant: Any, keys: Any, made: SealedModel) -> bytes:
    """What a device sees of a grant."""
    body = await bench.devices.get(grant.files[0].url)
    return open_model(body.content, keys[0], bench, made)


def test_a_twin_is_never_given_to_who_is_not_deceived() -> None:
    """Release, renewal, links, lists: as if there were no twin."""

    async def story(bench: Bench) -> None:
        real = await bench.publish()
        device = await bench.device("ada", "digits")
        before = (await bench.ask("GET", VERSIONS_PATH)).json(), (await bench.ask("GET", "/v1/models/digits")).json()
        decoy = await publish_twin(bench)
        after = (await bench.ask("GET", VERSIONS_PATH)).json(), (await bench.ask("GET", "/v1/models/digits")).json()
        assert before == after
        grant, keys = await device.release()
        assert await content(bench, grant, keys, real) == PLAIN
        assert [file.file_id for file in grant.files] == [real.head.core.file_id] != [decoy.head.core.file_id]
        lease = await device.leased()
        assert lease.files == (real.head.digest,)
        assert (await device.renew(lease))[1].files == (real.head.digest,)
        (order,) = await bench.wipe(device)
        (read,) = await device.ordered(lease)
        assert read.order_id == order["id"]
        assert read.file_id == real.head.core.file_id

    run(story)


@pytest.mark.parametrize("kept", ["memory", "database"])
def test_the_deceived_get_the_twin_and_everything_that_follows_is_the_twin_s(kept, deceive, tmp_path: Path) -> None:
    """Grant, file, fresh links, lease, renewal and wipe order name the decoy; the audit log knows."""
    options: dict[str, Any] = {}
    if kept == "database":
        url, folder, ring = sqlite_url(tmp_path / "s.db"), tmp_path / "objects", Keyring.generate()
        upgrade(url)
        folder.mkdir()
        store = FolderStore(folder, DEVICES, ring.url_key, keep_free=0)
        options = {"ledger": SqlLedger.open(url), "store": store, "vault": ring}

    async def story(bench: Bench) -> None:
        await bench.publish()
        decoy = await publish_twin(bench)
        device = await bench.device("ada", "digits")
        deceive["on"] = True
        grant, keys = await device.release()
        assert (grant.model, grant.version, grant.epoch, grant.counter) == ("digits", "1.0", 1, 1)
        assert await content(bench, grant, keys, decoy) == DECOY
        lease = await device.leased()
        assert lease.files == (decoy.head.digest,)
        deceive["on"] = False  # once deceived, always the same files
        again, _ = await device.release(have=have(grant))
        assert again.sealed is None
        urls = (await device.try_urls(grant.release_id)).json()["urls"]
        assert (await bench.devices.get(urls[0])).content == decoy.data
        renewed = (await device.renew(lease))[1]
        assert renewed is not None
        assert renewed.files == (decoy.head.digest,)
        assert {event.detail.get("twin") for event in await bench.events("release.granted")} == {
            (await bench.ask("GET", PATH)).json()["id"]
        }
        other = await bench.device("bob", "digits")
        assert (await other.release())[0].files[0].file_id != decoy.head.core.file_id

        async with bench.ledger.begin() as tx:  # an operator forgives
            assert await tx.end_twins(device.id or "", at=bench.clock()) == 3
        real, _ = await device.release(have=have(grant))
        assert real.files[0].file_id not in (decoy.head.core.file_id, None)
        assert real.sealed is not None

        await bench.wipe(other)
        deceive["on"] = True
        thief = await bench.device("eve", "digits")
        held = await thief.leased()
        await bench.wipe(thief)
        assert [one.file_id for one in await thief.ordered(held)] == [decoy.head.core.file_id]

    run(story, **options)


def test_who_holds_the_real_files_is_refused_and_not_deceived(deceive) -> None:
    """Other files under the same version would tell a thief that one of the two is a decoy."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        device = await bench.device("ada", "digits")
        await device.release()
        await publish_twin(bench)
        deceive["on"] = True
        refused, nobody = await device.try_release(), await device.try_release(model="nothing")
        assert (refused.status_code, problem(refused)["code"]) == (404, "not-found")
        assert {k: v for k, v in problem(refused).items() if k not in ("instance", "where")} == {
            k: v for k, v in problem(nobody).items() if k not in ("instance", "where")
        }

    run(story)


def test_without_a_twin_that_is_ready_the_deceived_get_nothing(deceive) -> None:
    async def story(bench: Bench) -> None:
        await bench.publish()
        deceive["on"] = True
        device = await bench.device("ada", "digits")
        assert (await device.try_release()).status_code == 404
        made = seal(bench)
        await deposit(bench, made)
        assert (await device.try_release()).status_code == 404

    run(story)


def test_a_deceived_answer_is_as_long_and_takes_the_same_work(deceive) -> None:
    """H01, H02: status, headers, length, and the calls to database, store and vault are those of a real answer."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        await publish_twin(bench)
        seen = []
        for name, on in (("ada", False), ("eve", True)):
            device = await bench.device(name, "digits")
            request, _ = await device.release_request()
            deceive["on"] = on
            with watched(bench) as calls:
                response = await device.try_release(request)
            grant = json.loads(json.dumps(response.json()))
            headers = [(key, value) for key, value in response.headers.items() if key != "strongroom-reference"]
            shape = {key: len(json.dumps(value)) for key, value in grant.items()}
            seen.append((response.status_code, sorted(dict(headers)), len(response.content), shape, calls))
        real, decoy = seen
        assert real == decoy
        assert "unwrap" in real[-1]
        assert "twin_files" in real[-1]

    run(story)


class watched:  # noqa: N801 - used as a function
    """Notes what is asked of ledger, store and vault."""

    def __init__(self, bench: Bench) -> None:
        self.calls: list[str] = []
        self._patches = pytest.MonkeyPatch()
        self._bench = bench

    def __enter__(self) -> list[str]:
        async def transaction_class() -> type:
            async with self._bench.ledger.begin() as tx:
                return type(tx)

        begin = type(self._bench.ledger).begin
        calls = self.calls
        for place in (self._bench.vault, self._bench.store):
            for name in ("unwrap", "mac", "size", "signed_url", "read"):
                if hasattr(type(place), name):
                    self._note(type(place), name)

        def noted(ledger: Any) -> Any:
            calls.append("begin")
            return _Noted(begin(ledger), calls)

        self._patches.setattr(type(self._bench.ledger), "begin", noted)
        return calls

    def _note(self, kind: type, name: str) -> None:
        real = getattr(kind, name)

        def noted(*args: Any, **more: Any) -> Any:
            self.calls.append(name)
            return real(*args, **more)

        self._patches.setattr(kind, name, noted)

    def __exit__(self, *_: object) -> None:
        self._patches.undo()


class _Noted:
    def __init__(self, inner: Any, calls: list[str]) -> None:
        self._inner, self._calls = inner, calls

    async def __aenter__(self) -> Any:
        return _Calls(await self._inner.__aenter__(), self._calls)

    async def __aexit__(self, *error: object) -> Any:
        return await self._inner.__aexit__(*error)


class _Calls:
    def __init__(self, tx: Any, calls: list[str]) -> None:
        self._tx, self._calls = tx, calls

    def __getattr__(self, name: str) -> Any:
        self._calls.append(name)
        return getattr(self._tx, name)


BAD = {
    "longer": ({"plain": DECOY + b"!"}, "bytes of payload"),
    "another name": ({"name": "longer.bin"}, "bytes of table of contents"),
    "another suite": ({"suite": 2}, "suite"),
    "another segment size": ({"segment_size": 2**21}, "segment size"),
    "not signed by its owner": ({"signers": (SigningKey.generate(ED25519),)}, "signature"),
    "not signed": ({"signers": ()}, "head part"),
    "of another version": ({"version": "1.1"}, "does not fit"),
    "in another place": ({"counter": 2}, "counter 2"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_twin_that_could_be_told_from_the_real_one_is_refused_with_the_difference(case) -> None:
    """H04: what is measurable without the key is the same, and the owners vouch for it."""
    changes, said = BAD[case]

    async def story(bench: Bench) -> None:
        await bench.publish()
        refused = await deposit(bench, seal(bench, **changes))
        assert (refused.status_code, problem(refused)["code"]) == (422, "deposit")
        assert said in json.dumps(problem(refused))
        assert (await bench.ask("GET", PATH)).status_code == 404
        assert len(await bench.events("twin.refused")) == 1

    run(story)


def test_only_the_version_s_publisher_or_an_admin_gives_it_a_twin_and_only_once() -> None:
    async def story(bench: Bench) -> None:
        await bench.publish()
        made = seal(bench)
        body = await bench.deposit_of(made)
        for role in ("publisher", "operator", "auditor"):
            token = await bench.operator(role, role)
            assert (await bench.ask("POST", "/v1/twins", body, token)).status_code == 403
            assert (await bench.ask("GET", PATH, None, token)).status_code == 403
            assert (await bench.ask("POST", f"{PATH}/complete", None, token)).status_code == 403
        missing = await deposit(bench, made, version="9.9")
        assert (missing.status_code, problem(missing)["code"]) == (404, "not-found")
        first = await deposit(bench, made)
        early = await bench.ask("POST", f"{PATH}/complete")
        assert (early.status_code, problem(early)["code"]) == (409, "conflict")
        await publish_twin(bench)  # takes the place of the unfinished one
        (url,) = [upload["url"] for upload in first.json()["uploads"]]
        assert (await bench.devices.put(url, content=made.data)).status_code == 409
        again = await deposit(bench, seal(bench))
        assert (again.status_code, problem(again)["code"]) == (409, "conflict")
        assert (await bench.ask("POST", f"{PATH}/complete")).json()["state"] == "ready"

    run(story)


def test_an_altered_upload_fails_its_check_and_a_restart_goes_on_with_it() -> None:
    async def story(bench: Bench) -> None:
        await bench.publish()
        made = seal(bench)
        answer = await deposit(bench, made)
        altered = made.data[:-1] + bytes([made.data[-1] ^ 1])
        assert (await bench.devices.put(answer.json()["uploads"][0]["url"], content=altered)).status_code == 201
        await bench.ask("POST", f"{PATH}/complete")
        await bench.background.stop()
        assert (await bench.ask("GET", PATH)).json()["state"] == "checking"
        again = checking.Background(bench.office)
        assert await again.resume() == 1
        await again.drain()
        shown = (await bench.ask("GET", PATH)).json()
        assert (shown["state"], shown["reason"]) == ("failed", "file-digest")
        await publish_twin(bench)

    run(story)


def test_rows_that_somebody_changed_make_no_decoy_of_the_real_thing_nor_the_other_way() -> None:
    """C15: the vault binds a twin's key to the twin, so a changed row opens nothing."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        await publish_twin(bench)
        device = await bench.device("ada", "digits")
        tables = bench.ledger.tables
        twin = next(row.twin for row in tables.files if row.twin)
        tables.files[:] = [dataclasses.replace(row, twin=None if row.twin else twin) for row in tables.files]
        refused = await device.try_release()
        assert (refused.status_code, problem(refused)["code"]) == (503, "vault-refused")

    run(story)


def test_judge_gives_no_twin_s_file_whatever_the_ledger_returns(monkeypatch) -> None:
    """Should a query ever forget which files are real, a device still gets none of a twin's."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        await publish_twin(bench)
        device = await bench.device("ada", "digits")
        async with bench.ledger.begin() as tx:
            kind = type(tx)

        async def every(self: Any, version_id: str) -> Any:
            return sorted((row for row in self._t.files if row.version_id == version_id), key=lambda row: not row.twin)

        monkeypatch.setattr(kind, "files", every)
        grant, _ = await device.release()
        assert len(grant.files) == 1
        (real,) = [row for row in bench.ledger.tables.files if row.twin is None]
        assert grant.files[0].file_id == real.file_id

    run(story)


def test_owners_who_did_not_sign_a_twin_take_it_out_of_use(deceive) -> None:
    """A trust document with other owners: nobody is given what a device would refuse."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        await publish_twin(bench)
        device = await bench.device("ada", "digits")
        async with bench.ledger.begin() as tx:
            (row,) = await tx.twin_files((await tx.version("digits", "1.0")).id)
        damaged = dataclasses.replace(row, head_part=row.head_part[:-3] + b"xx}")
        tables = bench.ledger.tables
        tables.files[tables.files.index(row)] = damaged
        deceive["on"] = True
        assert (await device.try_release()).status_code == 404
        deceive["on"] = False
        assert (await device.release())[0].files

    run(story)
