"""What every ledger must do: one suite over the database and the in-memory fake."""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from fakes import MemoryLedger
from strongroom.errors import Code, InputError, InternalError, StoreError
from strongroom.server.ledger import upgrade
from strongroom.server.ledger.engine import sqlite_url
from strongroom.server.ledger.sql import SqlLedger
from strongroom.server.ports import (
    Account,
    AuditEvent,
    ChallengeRow,
    DeviceRow,
    Entitlement,
    Ledger,
    Operator,
    ReleaseRow,
    StoredFile,
    Transaction,
    User,
    Version,
)

ACCOUNT = Account("ac_1", "acme", "active", 1)
USER = User("us_1", "ac_1", "acme", "active", 1)
DEVICE = DeviceRow("de_1", "ac_1", "us_1", b"t" * 32, "jkt", "ES256", b"p" * 65, "{}", "active", 1, 1)
VERSION = Version("ve_1", "digits", "1.0", 1, 1, "stable", "uploading", "", "op_1", 1)
FILE = StoredFile(
    b"f" * 32, "ve_1", None, 0, b"k" * 16, "model", 1, b"h" * 64, b"c" * 32, b"part", 100, "0" * 32, b"wrapped", 1
)
CHALLENGE = ChallengeRow(b"h" * 32, "us_1", b"t" * 32, "release", "digits", 1060)
RELEASE = ReleaseRow("re_1", "de_1", "ac_1", "ve_1", b"r" * 32, b"e" * 32, "le_1", 2000, 1000)


def _sql(folder: Path) -> Ledger:
    url = sqlite_url(folder / "strongroom.db")
    upgrade(url)
    return SqlLedger.open(url)


OPEN = {"memory": lambda _folder: MemoryLedger(), "sqlite": _sql}


@pytest.fixture(params=sorted(OPEN))
def run(request, tmp_path):
    """Run an async test against one ledger, which holds an account, a user, a device and a version with one file."""

    def runner(test: Callable[[Ledger], Awaitable[None]]) -> None:
        async def whole() -> None:
            ledger = OPEN[request.param](tmp_path)
            try:
                async with ledger.begin() as tx:
                    await _fill(tx)
                await test(ledger)
            finally:
                await ledger.close()

        asyncio.run(whole())

    return runner


async def _fill(tx: Transaction) -> None:
    await tx.add_account(ACCOUNT)
    await tx.add_user(USER)
    await tx.add_device(DEVICE)
    await tx.add_version(VERSION, [FILE])


async def _refused(ledger: Ledger, code: Code, work: Callable[[Transaction], Awaitable[None]]) -> None:
    with pytest.raises((InputError, StoreError, InternalError)) as caught:
        async with ledger.begin() as tx:
            await work(tx)
    assert caught.value.code == code
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert "INSERT" not in str(caught.value)


def test_rows_come_back_as_they_went_in(run):
    async def test(ledger: Ledger) -> None:
        operator = Operator("op_1", "root", "admin", b"o" * 32, "active", 1)
        async with ledger.begin() as tx:
            await tx.add_operator(operator)
            await tx.add_release(RELEASE)
        async with ledger.begin() as tx:
            assert await tx.account("ac_1") == await tx.account("acme") == ACCOUNT
            assert await tx.user("us_1") == await tx.user("acme") == USER
            assert await tx.users("ac_1") == [USER]
            assert await tx.operator_by_token(b"o" * 32) == operator
            assert await tx.device("de_1") == await tx.device_by_thumbprint(b"t" * 32) == DEVICE
            assert await tx.version("digits", "1.0") == await tx.version_by_id("ve_1") == VERSION
            assert await tx.files("ve_1") == [FILE]
            assert await tx.file(b"f" * 32) == FILE
            assert await tx.release("re_1") == RELEASE
            assert type((await tx.files("ve_1"))[0].wrapped) is bytes

    run(test)


def test_what_is_not_there_is_none(run):
    async def test(ledger: Ledger) -> None:
        async with ledger.begin() as tx:
            assert await tx.account("nobody") is None
            assert await tx.user("nobody") is None
            assert await tx.operator_by_token(b"x" * 32) is None
            assert await tx.device("de_9") is None
            assert await tx.device_by_thumbprint(b"x" * 32) is None
            assert await tx.version("digits", "9") is None
            assert await tx.channel_version("digits", "stable") is None
            assert await tx.newest_counter("other") is None
            assert await tx.file(b"x" * 32) is None
            assert await tx.release("re_9") is None
            assert await tx.users("ac_9") == await tx.files("ve_9") == await tx.versions("other") == []

    run(test)


def test_nothing_stays_of_a_block_that_raises(run):
    async def test(ledger: Ledger) -> None:
        async def stopped() -> None:
            async with ledger.begin() as tx:
                await tx.add_account(Account("ac_2", "other", "active", 1))
                await tx.set_version_state("ve_1", "ready")
                await tx.set_channel("digits", "stable", "ve_1")
                await tx.add_audit(AuditEvent("a.b", 1, "", ""))
                raise RuntimeError("stop")

        with pytest.raises(RuntimeError, match="stop"):
            await stopped()
        async with ledger.begin() as tx:
            assert await tx.account("ac_2") is None
            assert await tx.version_by_id("ve_1") == VERSION
            assert await tx.channels("digits") == {}
            assert await tx.audit() == []

    run(test)


def test_nothing_stays_of_a_cancelled_block(run):
    async def test(ledger: Ledger) -> None:
        inside = asyncio.Event()

        async def slow() -> None:
            async with ledger.begin() as tx:
                await tx.add_account(Account("ac_2", "other", "active", 1))
                inside.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(slow())
        await inside.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with ledger.begin() as tx:
            assert await tx.account("ac_2") is None

    run(test)


@pytest.mark.parametrize(
    "add",
    [
        pytest.param(lambda tx: tx.add_account(dataclasses.replace(ACCOUNT, id="ac_2")), id="account name"),
        pytest.param(lambda tx: tx.add_user(dataclasses.replace(USER, id="us_2")), id="user name"),
        pytest.param(lambda tx: tx.add_device(dataclasses.replace(DEVICE, id="de_2")), id="device key"),
        pytest.param(lambda tx: tx.add_challenge(CHALLENGE), id="challenge"),
        pytest.param(
            lambda tx: tx.add_version(dataclasses.replace(VERSION, id="ve_2", counter=2), []), id="version name"
        ),
        pytest.param(
            lambda tx: tx.add_version(dataclasses.replace(VERSION, id="ve_2", version="2.0"), []), id="version counter"
        ),
        pytest.param(
            lambda tx: tx.add_version(
                dataclasses.replace(VERSION, id="ve_2", version="2.0", counter=2),
                [dataclasses.replace(FILE, version_id="ve_2", commitment=b"d" * 32, object_name="1" * 32)],
            ),
            id="file id",
        ),
        pytest.param(
            lambda tx: tx.add_version(
                dataclasses.replace(VERSION, id="ve_2", version="2.0", counter=2),
                [dataclasses.replace(FILE, version_id="ve_2", file_id=b"g" * 32, object_name="1" * 32)],
            ),
            id="file commitment",
        ),
        pytest.param(
            lambda tx: tx.add_version(
                dataclasses.replace(VERSION, id="ve_2", version="2.0", counter=2),
                [dataclasses.replace(FILE, version_id="ve_2", file_id=b"g" * 32, commitment=b"d" * 32)],
            ),
            id="object name",
        ),
    ],
)
def test_what_must_be_unique_is(run, add):
    async def test(ledger: Ledger) -> None:
        async with ledger.begin() as tx:
            await tx.add_challenge(dataclasses.replace(CHALLENGE))
        await _refused(ledger, Code.CONFLICT, add)
        async with ledger.begin() as tx:
            assert await tx.version_by_id("ve_2") is None

    run(test)


def test_operator_names_and_tokens_are_unique(run):
    async def test(ledger: Ledger) -> None:
        first = Operator("op_1", "root", "admin", b"o" * 32, "active", 1)
        async with ledger.begin() as tx:
            await tx.add_operator(first)
        same_name = dataclasses.replace(first, id="op_2", token_hash=b"p" * 32)
        same_token = dataclasses.replace(first, id="op_2", name="other")
        await _refused(ledger, Code.CONFLICT, lambda tx: tx.add_operator(same_name))
        await _refused(ledger, Code.CONFLICT, lambda tx: tx.add_operator(same_token))

    run(test)


def test_an_ephemeral_key_is_served_once(run):
    """R36: a second release to the same ephemeral key is refused, and says so by its own code."""

    async def test(ledger: Ledger) -> None:
        async with ledger.begin() as tx:
            await tx.add_release(RELEASE)
        again = dataclasses.replace(RELEASE, id="re_2", lease_id="le_2")
        await _refused(ledger, Code.KEY_REUSED, lambda tx: tx.add_release(again))
        async with ledger.begin() as tx:
            assert await tx.release("re_2") is None

    run(test)


@pytest.mark.parametrize(
    "add",
    [
        pytest.param(lambda tx: tx.add_user(User("us_2", "ac_9", "b", "active", 1)), id="user without account"),
        pytest.param(
            lambda tx: tx.add_entitlement(Entitlement("en_1", "ac_1", "us_9", "digits", None, None, 1, b"m" * 32)),
            id="entitlement of nobody",
        ),
        pytest.param(lambda tx: tx.set_channel("digits", "stable", "ve_9"), id="channel to nowhere"),
        pytest.param(lambda tx: tx.add_release(dataclasses.replace(RELEASE, device="de_9")), id="release to no device"),
    ],
)
def test_a_row_cannot_name_what_is_not_there(run, add):
    run(lambda ledger: _refused(ledger, Code.DATABASE, add))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda tx: tx.set_version_state("ve_9", "ready"), id="version"),
        pytest.param(lambda tx: tx.touch_device("de_9", facts="{}", seen=1), id="device"),
        pytest.param(lambda tx: tx.remove_version("ve_9"), id="version to remove"),
    ],
)
def test_changing_what_is_not_there_is_our_fault(run, change):
    run(lambda ledger: _refused(ledger, Code.INTERNAL, change))


def test_one_of_fifty_copies_wins_a_challenge(run):
    """A2, R34: a challenge is used up in one atomic update, so of 50 concurrent copies one wins."""

    async def test(ledger: Ledger) -> None:
        async with ledger.begin() as tx:
            await tx.add_challenge(CHALLENGE)

        async def use() -> ChallengeRow | None:
            async with ledger.begin() as tx:
                return await tx.use_challenge(b"h" * 32, user="us_1", device=b"t" * 32, purpose="release", now=1000)

        rows = await asyncio.gather(*(use() for _ in range(50)))
        assert [row for row in rows if row is not None] == [CHALLENGE]

    run(test)


@pytest.mark.parametrize(
    "other",
    [
        {"hash_": b"x" * 32},
        {"user": "us_2"},
        {"device": b"x" * 32},
        {"purpose": "enrol"},
        {"now": 1060},
        {"now": 9999},
    ],
    ids=["unknown", "another's user", "another's device", "another purpose", "just expired", "long expired"],
)
def test_only_its_owner_uses_a_challenge_and_a_failed_try_leaves_it(run, other):
    async def test(ledger: Ledger) -> None:
        mine = {"hash_": b"h" * 32, "user": "us_1", "device": b"t" * 32, "purpose": "release", "now": 1059}
        async with ledger.begin() as tx:
            await tx.add_challenge(CHALLENGE)
        async with ledger.begin() as tx:
            assert await tx.use_challenge(**(mine | other)) is None
        async with ledger.begin() as tx:
            assert await tx.use_challenge(**mine) == CHALLENGE
        async with ledger.begin() as tx:
            assert await tx.use_challenge(**mine) is None

    run(test)


def test_a_challenge_used_in_a_block_that_raises_is_still_good(run):
    """Which is why the use case gives the challenge a transaction of its own."""

    async def test(ledger: Ledger) -> None:
        mine = {"user": "us_1", "device": b"t" * 32, "purpose": "release", "now": 1000}
        async with ledger.begin() as tx:
            await tx.add_challenge(CHALLENGE)

        async def stopped() -> None:
            async with ledger.begin() as tx:
                assert await tx.use_challenge(b"h" * 32, **mine) == CHALLENGE
                raise RuntimeError("stop")

        with pytest.raises(RuntimeError, match="stop"):
            await stopped()
        async with ledger.begin() as tx:
            assert await tx.use_challenge(b"h" * 32, **mine) == CHALLENGE

    run(test)


def test_old_challenges_are_dropped(run):
    async def test(ledger: Ledger) -> None:
        async with ledger.begin() as tx:
            await tx.add_challenge(CHALLENGE)
            await tx.add_challenge(dataclasses.replace(CHALLENGE, hash=b"i" * 32, expires=1059))
            await tx.drop_challenges(before=1060)
        async with ledger.begin() as tx:
            mine = {"user": "us_1", "device": b"t" * 32, "purpose": "release", "now": 1000}
            assert await tx.use_challenge(b"i" * 32, **mine) is None
            assert await tx.use_challenge(b"h" * 32, **mine) == CHALLENGE

    run(test)


def test_pages_follow_one_another_without_gap(run):
    async def test(ledger: Ledger) -> None:
        async with ledger.begin() as tx:
            for number in (3, 1, 2):
                await tx.add_account(Account(f"ac_x{number}", f"b{number}", "active", 1))
                row = dataclasses.replace(DEVICE, id=f"de_x{number}", thumbprint=bytes([number]) * 32)
                await tx.add_device(row)
        async with ledger.begin() as tx:
            assert [row.name for row in await tx.accounts(limit=2)] == ["acme", "b1"]
            assert [row.name for row in await tx.accounts(after="b1", limit=2)] == ["b2", "b3"]
            assert [row.name for row in await tx.accounts(after="b3")] == []
            assert [row.id for row in await tx.devices(after="de_1")] == ["de_x1", "de_x2", "de_x3"]

    run(test)


def test_a_name_that_looks_like_an_id_shadows_nobody(run):
    async def test(ledger: Ledger) -> None:
        async with ledger.begin() as tx:
            await tx.add_account(Account("ac_0", "ac_1", "active", 1))
            assert await tx.account("ac_1") == ACCOUNT

    run(test)


def test_entitlements_of_one_account_and_model(run):
    async def test(ledger: Ledger) -> None:
        rows = [
            Entitlement("en_2", "ac_1", None, "digits", None, None, 1, b"m" * 32),
            Entitlement("en_1", "ac_1", "us_1", "digits", "stable", 99, 1, b"n" * 32),
            Entitlement("en_3", "ac_1", None, "letters", None, None, 1, b"o" * 32),
        ]
        async with ledger.begin() as tx:
            for row in rows:
                await tx.add_entitlement(row)
        async with ledger.begin() as tx:
            assert await tx.entitlements("ac_1", "digits") == [rows[1], rows[0]]
            assert await tx.entitlements("ac_2", "digits") == []
            assert await tx.remove_entitlement("en_1") is True
            assert await tx.remove_entitlement("en_1") is False
            assert await tx.entitlements("ac_1", "digits") == [rows[0]]

    run(test)


def test_versions_channels_and_models(run):
    async def test(ledger: Ledger) -> None:
        async with ledger.begin() as tx:
            for id_, version, epoch, counter in (("ve_2", "2.0", 1, 2), ("ve_3", "3.0", 2, 1)):
                await tx.add_version(
                    dataclasses.replace(VERSION, id=id_, version=version, epoch=epoch, counter=counter), []
                )
            await tx.add_version(Version("ve_4", "letters", "1.0", 1, 7, None, "checking", "", "op_1", 1), [])
            await tx.set_channel("digits", "stable", "ve_1")
            await tx.set_channel("digits", "beta", "ve_3")
            await tx.set_channel("digits", "stable", "ve_2")
            await tx.set_version_state("ve_1", "failed", reason="bad")
        async with ledger.begin() as tx:
            assert [row.version for row in await tx.versions("digits")] == ["3.0", "2.0", "1.0"]
            assert await tx.newest_counter("digits") == (2, 1)
            assert await tx.channels("digits") == {"beta": "3.0", "stable": "2.0"}
            found = await tx.channel_version("digits", "stable")
            assert found is not None
            assert found.id == "ve_2"
            assert await tx.channel_version("letters", "stable") is None
            assert await tx.models() == ["digits", "letters"]
            assert await tx.models(after="digits", limit=1) == ["letters"]
            assert [row.id for row in await tx.unfinished_versions()] == ["ve_4"]
            assert await tx.version_by_id("ve_1") == dataclasses.replace(VERSION, state="failed", reason="bad")

    run(test)


def test_a_version_nobody_saw_goes_with_its_files_and_all_of_it_may_come_again(run):
    async def test(ledger: Ledger) -> None:
        other = dataclasses.replace(VERSION, id="ve_2", version="2.0", counter=2)
        async with ledger.begin() as tx:
            await tx.add_version(other, [])
            assert await tx.version_of_object(FILE.object_name) == VERSION
            await tx.remove_version("ve_1")
            await tx.add_version(
                dataclasses.replace(VERSION, id="ve_3"), [dataclasses.replace(FILE, version_id="ve_3")]
            )
            assert await tx.version_of_object(FILE.object_name) == dataclasses.replace(VERSION, id="ve_3")
        async with ledger.begin() as tx:
            assert await tx.version_by_id("ve_1") is None
            assert await tx.files("ve_1") == []
            assert await tx.newest_counter("digits") == (1, 2)
            await tx.remove_version("ve_2")
            assert await tx.newest_counter("digits") == (1, 1)
            await tx.remove_version("ve_3")
            assert await tx.file(FILE.file_id) is None
            assert await tx.version_of_object(FILE.object_name) is None
            assert await tx.newest_counter("digits") is None

    run(test)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(lambda tx: tx.set_channel("digits", "stable", "ve_1"), id="a channel"),
        pytest.param(lambda tx: tx.add_release(RELEASE), id="a release"),
    ],
)
def test_a_version_somebody_saw_does_not_go(run, name):
    async def test(ledger: Ledger) -> None:
        async with ledger.begin() as tx:
            await name(tx)
        await _refused(ledger, Code.DATABASE, lambda tx: tx.remove_version("ve_1"))
        async with ledger.begin() as tx:
            assert await tx.version_by_id("ve_1") == VERSION
            assert await tx.files("ve_1") == [FILE]

    run(test)


def test_a_device_is_touched(run):
    async def test(ledger: Ledger) -> None:
        async with ledger.begin() as tx:
            await tx.touch_device("de_1", facts='{"os":"x"}', seen=5)
            assert await tx.device("de_1") == dataclasses.replace(DEVICE, facts='{"os":"x"}', seen=5)

    run(test)


def test_the_audit_log_is_numbered_and_paged(run):
    async def test(ledger: Ledger) -> None:
        events = [
            AuditEvent("release.granted", at, "de_1", "digits@1.0", {"size": at, "why": "é"}) for at in range(1, 4)
        ]
        async with ledger.begin() as tx:
            for event in events:
                await tx.add_audit(event)
        async with ledger.begin() as tx:
            assert await tx.audit() == list(enumerate(events, 1))
            assert await tx.audit(after=1, limit=1) == [(2, events[1])]
        assert await ledger.healthy()

    run(test)
