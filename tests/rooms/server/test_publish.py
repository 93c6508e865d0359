"""Publish: a deposit is believed only when its key opens its head (protocol.md section 10)."""

import asyncio
import dataclasses
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from protocol_client import DEVICES, Bench, SealedModel, problem, run
from strongroom.canonical import from_base64url, to_base64url
from strongroom.errors import Code, StoreError
from strongroom.server import checking
from strongroom.server.ledger import upgrade
from strongroom.server.ledger.engine import sqlite_url
from strongroom.server.ledger.sql import SqlLedger
from strongroom.server.office import Office
from strongroom.server.stores.folder import FolderStore
from strongroom.server.vaults.keyring import Keyring
from strongroom.signing import ED25519, SigningKey
from strongroom.wire import hpke


def test_a_version_appears_only_when_checked() -> None:
    """R13, R34, R35: rows hold a wrapped key; the channel moves when the files are checked."""

    async def story(bench: Bench) -> None:
        made = bench.seal("digits", "1.0")
        answer = (await bench.ask("POST", "/v1/deposits", await bench.deposit_of(made))).json()
        path = "/v1/models/digits/versions/1.0"
        assert (await bench.ask("GET", path)).json()["state"] == "uploading"
        early = await bench.ask("POST", f"{path}/complete")
        assert (early.status_code, problem(early)["code"]) == (409, "conflict")
        (upload,) = answer["uploads"]
        assert (await bench.devices.put(upload["url"], content=made.data)).status_code == 201
        done = await bench.ask("POST", f"{path}/complete")
        assert (done.status_code, done.json()["state"]) == (202, "checking")
        assert (await bench.ask("GET", "/v1/models/digits")).json()["channels"] == []
        await bench.background.drain()
        shown = (await bench.ask("GET", "/v1/models/digits")).json()
        assert shown["channels"] == [{"channel": "stable", "version": "1.0", "state": "ready"}]
        assert shown["next"] == {"epoch": 1, "counter": 2}
        again = await bench.ask("POST", f"{path}/complete")
        assert (again.status_code, again.json()["state"]) == (202, "ready")

    run(story)


def test_the_same_deposit_again_gets_fresh_links() -> None:
    """A lost answer loses nothing; another's deposit of the same version is a conflict."""

    async def story(bench: Bench) -> None:
        publisher = await bench.operator("ci", "publisher")
        made = bench.seal("digits", "1.0")
        body = await bench.deposit_of(made, publisher)
        first = await bench.ask("POST", "/v1/deposits", body, publisher)
        again = await bench.ask("POST", "/v1/deposits", body, publisher)
        assert (first.status_code, again.status_code) == (201, 201)
        assert first.json()["version_id"] == again.json()["version_id"]
        stranger = await bench.operator("other", "publisher")
        other = await bench.ask("POST", "/v1/deposits", await bench.deposit_of(made, stranger), stranger)
        assert (other.status_code, problem(other)["code"]) == (409, "conflict")

    run(story)


async def put(bench: Bench, deposited: Any, data: bytes) -> int:
    """Upload the one file of a deposit; return the status."""
    return (await bench.devices.put(deposited.json()["uploads"][0]["url"], content=data)).status_code


@pytest.mark.parametrize("role", ["publisher", "admin"])
@pytest.mark.parametrize("before", ["uploading", "uploaded", "failed"])
def test_what_never_became_visible_makes_way(before: str, role: str) -> None:
    """A publisher that was stopped, or whose upload was damaged, publishes the same version and counter again."""

    async def story(bench: Bench) -> None:
        token = await bench.operator("ci", "publisher")
        first, second = bench.seal("digits", "1.0"), bench.seal("digits", "1.0")
        path = "/v1/models/digits/versions/1.0"
        old = await bench.ask("POST", "/v1/deposits", await bench.deposit_of(first, token), token)
        if before != "uploading":
            assert await put(bench, old, bytes(len(first.data)) if before == "failed" else first.data) == 201
        if before == "failed":
            await bench.ask("POST", f"{path}/complete", None, token)
            await bench.background.drain()
            assert (await bench.ask("GET", path)).json()["state"] == "failed"
        again = token if role == "publisher" else bench.admin_token
        new = await bench.ask("POST", "/v1/deposits", await bench.deposit_of(second, again), again)
        assert new.status_code == 201, new.text
        assert new.json()["version_id"] != old.json()["version_id"]
        assert bench.store.objects == {}
        assert [row.file_id for row in bench.ledger.tables.files] == [second.head.core.file_id]
        (event,) = await bench.events("deposit.replaced")
        assert event.detail["version"] == old.json()["version_id"]
        assert await put(bench, old, first.data) == 409
        assert await put(bench, new, second.data) == 201
        await bench.ask("POST", f"{path}/complete", None, again)
        await bench.background.drain()
        assert (await bench.ask("GET", path)).json()["state"] == "ready"

    run(story)


@pytest.mark.parametrize("before", ["uploading", "uploaded", "failed"])
def test_it_makes_way_in_a_database_and_a_folder_too(before: str, tmp_path: Path) -> None:
    """The real ledger, store and vault: foreign keys hold, nothing of the old one is left on the disk."""
    url = sqlite_url(tmp_path / "strongroom.db")
    upgrade(url)
    folder = tmp_path / "objects"
    folder.mkdir()
    ring = Keyring.generate()

    async def story(bench: Bench) -> None:
        first, second = bench.seal("digits", "1.0"), bench.seal("digits", "1.0")
        path = "/v1/models/digits/versions/1.0"
        old = await bench.ask("POST", "/v1/deposits", await bench.deposit_of(first))
        if before != "uploading":
            assert await put(bench, old, bytes(len(first.data)) if before == "failed" else first.data) == 201
        if before == "failed":
            await bench.ask("POST", f"{path}/complete")
            await bench.background.drain()
        new = await bench.ask("POST", "/v1/deposits", await bench.deposit_of(second))
        assert new.status_code == 201, new.text
        assert list(folder.iterdir()) == []
        assert await put(bench, old, first.data) == 409
        assert await put(bench, new, second.data) == 201
        assert (await bench.ask("POST", f"{path}/complete")).status_code == 202
        await bench.background.drain()
        assert (await bench.ask("GET", path)).json()["state"] == "ready"
        (object_,) = folder.iterdir()
        object_.unlink()
        assert await put(bench, new, second.data) == 409  # the link outlives the upload, and leads nowhere
        device = await bench.device("ada", "digits")
        os.mkfifo(object_)
        assert problem(await device.try_release())["code"] == "store-io"
        object_.unlink()
        object_.write_bytes(second.data)
        assert (await device.release())[1] == (second.key,)
        async with bench.ledger.begin() as tx:
            row = await tx.version("digits", "1.0")
            assert row is not None
            assert len(await tx.files(row.id)) == 1
        with closing(sqlite3.connect(tmp_path / "strongroom.db")) as database, database:
            ((wrapped,),) = database.execute("SELECT wrapped FROM files").fetchall()
            database.execute("UPDATE files SET wrapped = ?", (wrapped[:-1] + bytes([wrapped[-1] ^ 1]),))
        altered = await device.try_release()
        assert (altered.status_code, problem(altered)["code"]) == (503, "vault-refused")

    run(story, ledger=SqlLedger.open(url), store=FolderStore(folder, DEVICES, ring.url_key, keep_free=0), vault=ring)


@pytest.mark.parametrize("before", ["uploaded", "failed"])
def test_the_same_file_may_come_again(before: str) -> None:
    """Its identifier and its key are free again, whether its upload was whole or damaged: no need to seal anew."""

    async def story(bench: Bench) -> None:
        made = bench.seal("digits", "1.0")
        body = await bench.deposit_of(made)
        data = made.data if before == "uploaded" else bytes(len(made.data))
        assert await put(bench, await bench.ask("POST", "/v1/deposits", body), data) == 201
        path = "/v1/models/digits/versions/1.0/complete"
        if before == "failed":
            await bench.ask("POST", path)
            await bench.background.drain()
        assert await put(bench, await bench.ask("POST", "/v1/deposits", body), made.data) == 201
        await bench.ask("POST", path)
        await bench.background.drain()
        assert (await bench.ask("GET", "/v1/models/digits")).json()["channels"] != []
        assert list(bench.store.objects.values()) == [made.data]

    run(story)


@pytest.mark.parametrize("state", ["checking", "ready", "revoked"])
def test_what_may_be_visible_stays(state: str) -> None:
    async def story(bench: Bench) -> None:
        await bench.publish()
        (row,) = bench.ledger.tables.versions
        bench.ledger.tables.versions[:] = [dataclasses.replace(row, state=state)]
        again = await bench.ask("POST", "/v1/deposits", await bench.deposit_of(bench.seal("digits", "1.0", 2)))
        assert (again.status_code, problem(again)["code"]) == (409, "conflict")
        assert [one.id for one in bench.ledger.tables.versions] == [row.id]
        assert len(bench.store.objects) == 1

    run(story)


def test_a_check_that_begins_meanwhile_is_not_pulled_away() -> None:
    """`complete` comes between the first look and the write: the state is looked at again where rows are removed."""

    async def story(bench: Bench) -> None:
        made = bench.seal("digits", "1.0")
        await bench.ask("POST", "/v1/deposits", await bench.deposit_of(made))
        (row,) = bench.ledger.tables.versions
        wrap = type(bench.vault).wrap

        def wrap_late(vault: object, secret: bytes, context: bytes) -> bytes:
            bench.ledger.tables.versions[:] = [dataclasses.replace(row, state="checking")]
            return wrap(vault, secret, context)

        body = await bench.deposit_of(bench.seal("digits", "1.0"))
        bench.vault.__class__ = type("Late", (type(bench.vault),), {"__slots__": (), "wrap": wrap_late})
        response = await bench.ask("POST", "/v1/deposits", body)
        assert (response.status_code, problem(response)["code"]) == (409, "conflict")
        assert [one.id for one in bench.ledger.tables.versions] == [row.id]

    run(story)


def test_a_replaced_deposit_cannot_be_completed_as_if_it_were_there() -> None:
    """Its rows go while `complete` looks at its objects."""

    async def story(bench: Bench) -> None:
        made = bench.seal("digits", "1.0")
        answer = await bench.ask("POST", "/v1/deposits", await bench.deposit_of(made))
        assert await put(bench, answer, made.data) == 201
        size = type(bench.store).size

        async def removing(store: object, name: str) -> int | None:
            async with bench.ledger.begin() as tx:
                await tx.remove_version(answer.json()["version_id"])
            return await size(store, name)

        bench.store.__class__ = type("Removing", (type(bench.store),), {"__slots__": (), "size": removing})
        response = await bench.ask("POST", "/v1/models/digits/versions/1.0/complete")
        assert (response.status_code, problem(response)["code"]) == (409, "conflict")

    run(story)


def test_an_object_that_cannot_be_removed_stops_no_deposit() -> None:
    async def story(bench: Bench) -> None:
        old = bench.seal("digits", "1.0")
        assert await put(bench, await bench.ask("POST", "/v1/deposits", await bench.deposit_of(old)), old.data) == 201

        async def failing(*_: object) -> None:
            raise StoreError(Code.STORE_IO, "the disk fails")

        bench.store.__class__ = type("Failing", (type(bench.store),), {"__slots__": (), "delete": failing})
        new = await bench.ask("POST", "/v1/deposits", await bench.deposit_of(bench.seal("digits", "1.0")))
        assert new.status_code == 201
        assert len(bench.store.objects) == 1

    run(story)


@pytest.mark.parametrize("state", ["checking", "ready", "failed", "revoked", "gone"])
def test_an_upload_link_ends_with_its_deposit(state: str) -> None:
    """P keeps the link and the object is lost: nobody puts other bytes under a version that was checked."""

    async def story(bench: Bench) -> None:
        made = bench.seal("digits", "1.0")
        answer = await bench.ask("POST", "/v1/deposits", await bench.deposit_of(made))
        (row,) = bench.ledger.tables.versions
        bench.ledger.tables.versions[:] = [dataclasses.replace(row, state=state)]
        if state == "gone":
            bench.ledger.tables.files.clear()
        assert await put(bench, answer, made.data) == 409
        assert bench.store.objects == {}

    run(story)


def no_longer(office: Office, **changes: Any) -> None:
    """Let an office that runs have another trust document."""
    object.__setattr__(office, "trust", dataclasses.replace(office.trust, **changes))


def test_an_expired_trust_document_takes_nothing() -> None:
    """Publishing under a document no device accepts would only be found out on devices."""

    async def story(bench: Bench) -> None:
        body = await bench.deposit_of(bench.seal("digits", "1.0"))
        no_longer(bench.office, expires=bench.clock())
        response = await bench.ask("POST", "/v1/deposits", body)
        assert (response.status_code, problem(response)["code"]) == (503, "trust-expired")
        (event,) = await bench.events("deposit.refused")
        assert event.detail["code"] == "trust-expired"
        no_longer(bench.office, expires=bench.clock() + 1)
        assert (await bench.ask("POST", "/v1/deposits", body)).status_code == 201

    run(story)


@pytest.mark.parametrize(
    ("counter", "epoch", "status"),
    [
        (1_000_001, 1, 201),
        (1_000_002, 1, 422),
        (2**53 - 2, 1, 422),
        (2**53 - 1, 1, 422),
        (2, 2, 422),
        (2**53 - 1, 2**53 - 1, 422),
    ],
)
def test_one_deposit_does_not_use_up_the_order(counter: int, epoch: int, status: int) -> None:
    """P deposits under a far counter, or an epoch the owners did not set: nobody could publish after it."""

    async def story(bench: Bench) -> None:
        await bench.publish(version="1.0", counter=1)
        made = bench.seal("digits", "2.0", counter, epoch)
        response = await bench.ask("POST", "/v1/deposits", await bench.deposit_of(made))
        assert response.status_code == status
        shown = await bench.ask("GET", "/v1/models/digits")
        assert (shown.status_code, shown.json()["next"]["epoch"]) == (200, 1)

    run(story)


@pytest.mark.parametrize(("epoch", "counter"), [(1, 2**53 - 1), (2**53 - 1, 2**53 - 1)])
def test_a_model_is_shown_whatever_its_order(epoch: int, counter: int) -> None:
    """Rows an earlier version let in; a higher epoch of the owners still comes after the first of them."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        (row,) = bench.ledger.tables.versions
        bench.ledger.tables.versions[:] = [dataclasses.replace(row, epoch=epoch, counter=counter)]
        shown = await bench.ask("GET", "/v1/models/digits")
        assert (shown.status_code, shown.json()["next"]) == (200, {"epoch": epoch, "counter": 2**53 - 1})
        if epoch == 1:
            no_longer(bench.office, epochs=(("digits", 2),))
            made = bench.seal("digits", "2.0", 1, 2)
            assert (await bench.ask("POST", "/v1/deposits", await bench.deposit_of(made))).status_code == 201

    run(story)


def bent(bench: Bench, made: SealedModel, body: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Deposits that do not fit, by what is wrong."""
    (file,) = body["files"]
    head_part = from_base64url(file["head_part"])
    other = bench.seal("digits", "1.0")
    info = hpke.deposit_info(None, "opr_x", "digits", "1.0", made.head.core.file_id, made.head.digest)
    foreign = hpke.seal(bench.deposit_key.kem, bench.deposit_key.public, info, made.key.reveal())
    unsigned = bench.seal("digits", "1.0", signer=SigningKey.generate(ED25519))
    flipped = bytearray(head_part)
    flipped[40] ^= 1

    def with_file(**changes: Any) -> dict[str, Any]:
        return body | {"files": [file | changes]}

    return {
        "another model": body | {"model": "letters"},
        "another version": body | {"version": "1.1"},
        "another counter": body | {"counter": 2},
        "another epoch": body | {"epoch": 2},
        "another size": with_file(size=file["size"] + 1),
        "another head": with_file(head_part=to_base64url(other.head.head_part), size=len(other.data)),
        "a changed head": with_file(head_part=to_base64url(flipped)),
        "a cut head": with_file(head_part=to_base64url(head_part[:-1])),
        "an unknown owner": with_file(head_part=to_base64url(unsigned.head.head_part), size=len(unsigned.data)),
        "a key for another publisher": with_file(sealed=to_base64url(foreign)),
        "a cut key": with_file(sealed=to_base64url(from_base64url(file["sealed"])[:-1])),
        "another kem": with_file(kem=0x0020),
        "an unknown kem": with_file(kem=9),
    }


CASES = [
    "another model",
    "another version",
    "another counter",
    "another epoch",
    "another size",
    "another head",
    "a changed head",
    "a cut head",
    "an unknown owner",
    "a key for another publisher",
    "a cut key",
    "another kem",
    "an unknown kem",
]


@pytest.mark.parametrize("case", CASES)
def test_a_deposit_that_does_not_fit_is_refused(case: str) -> None:
    """F09, B20 and the binding of deposits: nothing is written but the refusal."""

    async def story(bench: Bench) -> None:
        made = bench.seal("digits", "1.0")
        body = bent(bench, made, await bench.deposit_of(made))[case]
        response = await bench.ask("POST", "/v1/deposits", body)
        assert (response.status_code, problem(response)["code"]) == (422, "deposit"), response.text
        assert bench.ledger.tables.versions == []
        assert bench.ledger.tables.files == []
        (event,) = await bench.events("deposit.refused")
        assert event.detail["reference"] == problem(response)["instance"]

    run(story)


def test_the_key_must_be_the_files_own() -> None:
    """A10, A12: the commitment is recomputed from the deposited key."""

    async def story(bench: Bench) -> None:
        made, other = bench.seal("digits", "1.0"), bench.seal("digits", "1.0")
        body = await bench.deposit_of(dataclasses.replace(made, key=other.key))
        response = await bench.ask("POST", "/v1/deposits", body)
        assert problem(response)["code"] == "deposit"
        assert "file-wrong-key" in problem(response)["detail"]

    run(story)


def test_a_file_of_another_model_is_not_this_one() -> None:
    """The subject is recomputed: a file sealed for one name is not published under another."""

    async def story(bench: Bench) -> None:
        made = dataclasses.replace(bench.seal("letters", "1.0"), model="digits")
        response = await bench.ask("POST", "/v1/deposits", await bench.deposit_of(made))
        assert "file-subject" in problem(response)["detail"]

    run(story)


def test_order_only_goes_up() -> None:
    """B17: (epoch, counter) strictly greater than every one before, whatever became of it."""

    async def story(bench: Bench) -> None:
        await bench.publish(version="1.0", counter=5)
        for counter, epoch, version, status in (
            (5, 1, "1.1", 422),
            (4, 1, "1.1", 422),
            (6, 1, "1.1", 201),
            (1, 2, "2.0", 201),
        ):
            no_longer(bench.office, epochs=(("digits", epoch),))
            made = bench.seal("digits", version, counter, epoch)
            response = await bench.ask("POST", "/v1/deposits", await bench.deposit_of(made))
            assert response.status_code == status, (counter, epoch)
        low = bench.seal("digits", "3.0", 99, 1)
        assert (await bench.ask("POST", "/v1/deposits", await bench.deposit_of(low))).status_code == 422
        taken = bench.seal("digits", "1.0", 100, 2)
        assert (await bench.ask("POST", "/v1/deposits", await bench.deposit_of(taken))).status_code == 409

    run(story)


@pytest.mark.parametrize("place", ["first byte", "head", "first segment", "last byte"])
def test_a_stored_object_that_differs_never_becomes_ready(place: str) -> None:
    """R28, E05: one bit anywhere, and the version fails with its reason."""

    async def story(bench: Bench) -> None:
        made = bench.seal("digits", "1.0")
        answer = (await bench.ask("POST", "/v1/deposits", await bench.deposit_of(made))).json()
        at = {"first byte": 0, "head": 100, "first segment": made.head.offset(0), "last byte": len(made.data) - 1}[
            place
        ]
        data = bytearray(made.data)
        data[at] ^= 1
        await bench.devices.put(answer["uploads"][0]["url"], content=bytes(data))
        path = "/v1/models/digits/versions/1.0"
        await bench.ask("POST", f"{path}/complete")
        await bench.background.drain()
        shown = (await bench.ask("GET", path)).json()
        assert shown["state"] == "failed"
        assert shown["reason"] in {"file-mismatch", "file-digest"}
        device = await bench.device("ada", "digits")
        for version in ("@stable", "1.0"):
            assert (await device.try_release(version=version)).status_code == 404
        closed = await bench.ask("POST", f"{path}/complete")
        assert problem(closed)["code"] == "conflict"

    run(story)


def test_a_store_that_fails_fails_nobodys_version() -> None:
    """E05: the version goes back to `uploading`, and `complete` can be said again."""

    async def story(bench: Bench) -> None:
        made = bench.seal("digits", "1.0")
        answer = (await bench.ask("POST", "/v1/deposits", await bench.deposit_of(made))).json()
        await bench.devices.put(answer["uploads"][0]["url"], content=made.data)
        good = type(bench.store).read

        async def failing(*_: object) -> bytes:
            raise StoreError(Code.STORE_IO, "the disk fails")

        type(bench.store).read = failing
        path = "/v1/models/digits/versions/1.0"
        try:
            await bench.ask("POST", f"{path}/complete")
            await bench.background.drain()
        finally:
            type(bench.store).read = good
        shown = (await bench.ask("GET", path)).json()
        assert (shown["state"], shown["reason"]) == ("uploading", "store-io")
        await bench.ask("POST", f"{path}/complete")
        await bench.background.drain()
        assert (await bench.ask("GET", path)).json()["state"] == "ready"

    run(story)


def test_a_check_that_was_cut_short_is_taken_up_again() -> None:
    """E09: a process that ends while checking loses nothing."""

    async def story(bench: Bench) -> None:
        made = bench.seal("digits", "1.0")
        answer = (await bench.ask("POST", "/v1/deposits", await bench.deposit_of(made))).json()
        await bench.devices.put(answer["uploads"][0]["url"], content=made.data)
        async with bench.ledger.begin() as tx:
            await tx.set_version_state(answer["version_id"], "checking")
        background = checking.Background(bench.office)
        assert await background.resume() == 1
        await background.drain()
        assert (await bench.ask("GET", "/v1/models/digits/versions/1.0")).json()["state"] == "ready"

    run(story)


def test_a_channel_never_goes_back() -> None:
    """Two checks that end in the other order leave the channel at the later version."""

    async def story(bench: Bench) -> None:
        await bench.publish(version="2.0", counter=2)
        (newer,) = bench.ledger.tables.versions
        older = dataclasses.replace(newer, id=bench.office.new_id("ver"), version="1.0", counter=1, state="checking")
        bench.ledger.tables.versions.append(older)
        assert await checking.check_version(bench.office, older.id) == "ready"
        shown = (await bench.ask("GET", "/v1/models/digits")).json()
        assert shown["channels"] == [{"channel": "stable", "version": "2.0", "state": "ready"}]

    run(story)


def test_two_deposits_at_once_leave_one() -> None:
    """The order is checked again in the transaction that writes."""

    async def story(bench: Bench) -> None:
        bodies = [await bench.deposit_of(bench.seal("digits", version)) for version in ("1.0", "1.1", "1.2")]
        answers = await asyncio.gather(*(bench.ask("POST", "/v1/deposits", body) for body in bodies))
        assert sorted(answer.status_code for answer in answers) == [201, 422, 422]

    run(story)


def test_the_order_is_checked_again_where_it_is_written() -> None:
    """Another publisher is faster between the first look and the write: no version goes in behind it."""

    async def story(bench: Bench) -> None:
        await bench.publish(version="1.0", counter=1)
        (first,) = bench.ledger.tables.versions
        faster = dataclasses.replace(first, id=bench.office.new_id("ver"), version="9.0", counter=9)
        wrap = type(bench.vault).wrap

        def wrap_late(vault: object, secret: bytes, context: bytes) -> bytes:
            bench.ledger.tables.versions.append(faster)
            return wrap(vault, secret, context)

        body = await bench.deposit_of(bench.seal("digits", "1.1", 2))
        bench.vault.__class__ = type("Late", (type(bench.vault),), {"__slots__": (), "wrap": wrap_late})
        response = await bench.ask("POST", "/v1/deposits", body)
        assert (response.status_code, problem(response)["code"]) == (422, "deposit")
        assert [row.version for row in bench.ledger.tables.versions] == ["1.0", "9.0"]

    run(story)


def test_only_publishers_and_admins_publish() -> None:
    """R13."""

    async def story(bench: Bench) -> None:
        made = bench.seal("digits", "1.0")
        body = await bench.deposit_of(made)
        for role in ("operator", "auditor", "security"):
            token = await bench.operator(role, role)
            for response in (
                await bench.ask("POST", "/v1/deposits", body, token),
                await bench.ask("POST", "/v1/models/digits/versions/1.0/complete", None, token),
                await bench.ask("GET", "/v1/deposit-context", None, token),
            ):
                assert (response.status_code, problem(response)["code"]) == (403, "forbidden")

    run(story)


def test_a_deposit_is_completed_by_its_own_publisher() -> None:
    async def story(bench: Bench) -> None:
        one, two = await bench.operator("one", "publisher"), await bench.operator("two", "publisher")
        made = bench.seal("digits", "1.0")
        await bench.ask("POST", "/v1/deposits", await bench.deposit_of(made, one), one)
        response = await bench.ask("POST", "/v1/models/digits/versions/1.0/complete", None, two)
        assert (response.status_code, problem(response)["code"]) == (403, "forbidden")
        (row,) = await bench.events("operator.refused")
        assert (row.subject, row.detail["reference"]) == ("complete digits@1.0", problem(response)["instance"])
        absent = await bench.ask("POST", "/v1/models/digits/versions/9.9/complete", None, two)
        assert absent.status_code == 404

    run(story)


def test_an_expired_deposit_key_takes_nothing() -> None:
    async def story(bench: Bench) -> None:
        made = bench.seal("digits", "1.0")
        body = await bench.deposit_of(made)
        no_longer(bench.office, expires=bench.trust.expires + 1)
        bench.clock.advance(31_622_400)
        response = await bench.ask("POST", "/v1/deposits", body)
        assert (response.status_code, problem(response)["code"]) == (422, "deposit")

    run(story)
