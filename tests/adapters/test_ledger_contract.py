"""What every ledger must do: one suite over the database and the in-memory fake."""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable

import pytest

from opened_ledgers import OPEN
from strongroom.errors import Code, InputError, InternalError, StoreError
from strongroom.server.ports import (
    Account,
    AttestationRow,
    AuditEvent,
    ChallengeRow,
    DeviceRow,
    Entitlement,
    Holding,
    Ledger,
    Operator,
    OrderRow,
    ReleaseRow,
    Standing,
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
ATTESTED = AttestationRow("de_1", "tpm", '{"counter":1}', 1, 1000, 1000, "aa" * 32, b"w" * 32, b"m" * 32)
ORDER = OrderRow("or_1", "de_1", "digits", "1.0", "ve_1", b"payload", '["a.b.c"]', 1000, 2000, "op_1")


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
            assert await tx.release("re_1") == await tx.release_of_lease("le_1") == RELEASE
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
            assert await tx.release_of_lease("le_9") is None
            assert await tx.order("or_9") is None
            assert await tx.attestations("de_1") == await tx.attestations("de_9") == []
            assert not await tx.advance_attestation(ATTESTED, before=ATTESTED)
            assert await tx.holdings("de_1") == await tx.holdings("de_9") == await tx.orders("de_1") == []
            assert await tx.holders("ve_1", now=1) == await tx.holders("ve_9", now=1) == []
            assert await tx.pending_orders("de_1", "digits", now=1) == await tx.standings(["digits"]) == []
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
        pytest.param(lambda tx: tx.add_order(dataclasses.replace(ORDER, device="de_9")), id="order to no device"),
        pytest.param(lambda tx: tx.add_order(dataclasses.replace(ORDER, version_id="ve_9")), id="order of no version"),
        pytest.param(
            lambda tx: tx.keep_attestation(dataclasses.replace(ATTESTED, device="de_9")), id="attested key of no device"
        ),
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
        pytest.param(lambda tx: tx.set_account_state("ac_9", "restricted"), id="account"),
        pytest.param(lambda tx: tx.set_device_state("de_9", "blocked"), id="device's state"),
        pytest.param(lambda tx: tx.extend_lease("re_9", 5), id="lease"),
        pytest.param(lambda tx: tx.note_withdrawn("or_9", at=1), id="order to withdraw"),
        pytest.param(lambda tx: tx.sign_order("or_9", signed="anew"), id="order to sign"),
        pytest.param(lambda tx: tx.note_reported("or_9", at=1, outcome="wiped", receipt="a.b.c"), id="order"),
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


def test_a_challenge_that_is_looked_at_stays(run):
    async def test(ledger: Ledger) -> None:
        mine = {"user": "us_1", "device": b"t" * 32, "purpose": "release", "now": 1059}
        async with ledger.begin() as tx:
            await tx.add_challenge(CHALLENGE)
        async with ledger.begin() as tx:
            assert await tx.challenge(b"h" * 32, **mine) == await tx.challenge(b"h" * 32, **mine) == CHALLENGE
            for other in ({"user": "us_2"}, {"device": b"x" * 32}, {"purpose": "enrol"}, {"now": 1060}):
                assert await tx.challenge(b"h" * 32, **(mine | other)) is None
            assert await tx.challenge(b"x" * 32, **mine) is None
            assert await tx.use_challenge(b"h" * 32, **mine) == CHALLENGE
            assert await tx.challenge(b"h" * 32, **mine) is None

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


def test_states_are_changed_one_by_one(run):
    async def test(ledger: Ledger) -> None:
        async with ledger.begin() as tx:
            await tx.add_account(Account("ac_2", "other", "active", 1))
            await tx.set_account_state("ac_1", "restricted")
            await tx.set_device_state("de_1", "blocked")
        async with ledger.begin() as tx:
            assert await tx.account("ac_1") == dataclasses.replace(ACCOUNT, state="restricted")
            assert await tx.account("ac_2") == Account("ac_2", "other", "active", 1)
            assert await tx.device("de_1") == dataclasses.replace(DEVICE, state="blocked")

    run(test)


def test_channels_of_many_models_in_one_question(run):
    async def test(ledger: Ledger) -> None:
        async with ledger.begin() as tx:
            await tx.add_version(Version("ve_2", "letters", "1.0", 1, 7, None, "revoked", "", "op_1", 1), [])
            for model, channel, version in (
                ("letters", "stable", "ve_2"), ("digits", "stable", "ve_1"), ("digits", "beta", "ve_1"),
            ):  # fmt: skip
                await tx.set_channel(model, channel, version)
        async with ledger.begin() as tx:
            digits = [Standing("digits", one, "1.0", "uploading") for one in ("beta", "stable")]
            assert await tx.standings(["letters", "digits"]) == [
                *digits,
                Standing("letters", "stable", "1.0", "revoked"),
            ]
            assert await tx.standings(["digits"]) == digits
            assert await tx.standings([]) == []

    run(test)


async def _many_holdings(tx: Transaction) -> None:
    """Two devices; the first has two versions, the older one released twice; the second has the newer one."""
    await tx.add_device(dataclasses.replace(DEVICE, id="de_2", thumbprint=b"u" * 32))
    await tx.add_version(
        dataclasses.replace(VERSION, id="ve_2", version="2.0", counter=2),
        [
            dataclasses.replace(FILE, version_id="ve_2", file_id=bytes([n]) * 32, position=1 - n,
                                commitment=bytes([n]) * 32, object_name=f"{n + 5}" * 32)
            for n in (0, 1)
        ],
    )  # fmt: skip
    for number, device, version, expires, created in (
        (1, "de_1", "ve_1", 5000, 1000),
        (2, "de_1", "ve_1", 3000, 1100),  # a shorter lease, later: what counts is when the last of them ends
        (3, "de_1", "ve_2", 6000, 1200),
        (4, "de_2", "ve_2", 7000, 1300),
    ):
        row = ReleaseRow(f"re_{number}", device, "ac_1", version, b"r" * 32, bytes([number]) * 32, f"le_{number}",
                         expires, created)  # fmt: skip
        await tx.add_release(row)


FIRST = Holding("de_1", b"t" * 32, "digits", "1.0", "ve_1", b"f" * 32, "le_2", 1100, 5000)
NEWER = Holding("de_1", b"t" * 32, "digits", "2.0", "ve_2", b"\1" * 32, "le_3", 1200, 6000)
OTHER = Holding("de_2", b"u" * 32, "digits", "2.0", "ve_2", b"\1" * 32, "le_4", 1300, 7000)


def test_a_holding_is_what_was_released_and_not_reported_wiped(run):
    """One row a version: its newest lease, the latest end, its first file; newest release first."""

    async def test(ledger: Ledger) -> None:
        async with ledger.begin() as tx:
            await _many_holdings(tx)
            assert await tx.holdings("de_1") == [NEWER, FIRST]
            assert await tx.holdings("de_1", limit=1) == [NEWER]
            assert await tx.holdings("de_2") == [OTHER]
            await tx.extend_lease("re_3", 9000)
            assert await tx.holdings("de_1", limit=1) == [dataclasses.replace(NEWER, expires=9000)]
            await tx.end_leases("de_1", "ve_1", before=1100, at=1500)  # the second was made at that very time
            assert await tx.holdings("de_1", limit=9) == [
                dataclasses.replace(NEWER, expires=9000), dataclasses.replace(FIRST, expires=3000),
            ]  # fmt: skip
            await tx.end_leases("de_1", "ve_1", before=1101, at=1600)
            assert [one.version for one in await tx.holdings("de_1")] == ["2.0"]
        async with ledger.begin() as tx:
            ended = [one.ended for one in [await tx.release(f"re_{number}") for number in (1, 2, 3, 4)] if one]
            assert ended == [1500, 1600, None, None]

    run(test)


def test_holders_of_a_version_have_no_pending_order_for_it(run):
    async def test(ledger: Ledger) -> None:
        async with ledger.begin() as tx:
            await _many_holdings(tx)
            assert await tx.holders("ve_1", now=1500) == [FIRST]
            assert await tx.holders("ve_2", now=1500) == [NEWER, OTHER]
            assert await tx.holders("ve_2", now=1500, limit=1) == [NEWER]
            assert await tx.holders("ve_2", now=1500, after="de_1") == [OTHER]
            await tx.add_order(ORDER)  # for the other version: no matter
            assert await tx.holders("ve_2", now=1500) == [NEWER, OTHER]
            assert await tx.holders("ve_1", now=1999) == []
            assert await tx.holders("ve_1", now=2000) == [FIRST]  # the order has expired
            await tx.note_withdrawn("or_1", at=1550)
            assert await tx.holders("ve_1", now=1999) == [FIRST]
            await tx.note_reported("or_1", at=1600, outcome="wiped", receipt="a.b.c")
            assert await tx.holders("ve_1", now=1999) == [FIRST]  # reported, and released since: `end_leases` says so
            await tx.end_leases("de_1", "ve_1", before=5000, at=1600)
            assert await tx.holders("ve_1", now=1999) == []

    run(test)


def test_orders_pend_until_they_are_reported_or_over(run):
    async def test(ledger: Ledger) -> None:
        second = dataclasses.replace(ORDER, id="or_0", issued=1001, expires=3000)
        other = dataclasses.replace(ORDER, id="or_2", model="letters", issued=1002)
        async with ledger.begin() as tx:
            for row in (second, ORDER, other):
                await tx.add_order(row)
        await _refused(ledger, Code.CONFLICT, lambda tx: tx.add_order(ORDER))
        async with ledger.begin() as tx:
            assert await tx.order("or_1") == ORDER
            assert await tx.orders("de_1") == [other, second, ORDER]
            assert await tx.orders("de_1", limit=1) == [other]
            assert await tx.all_orders() == [second, ORDER, other]
            assert await tx.all_orders(after="or_0", limit=1) == [ORDER]
            assert await tx.orders("de_2") == []
            assert await tx.pending_orders("de_1", "digits", now=1999) == [ORDER, second]
            assert await tx.pending_orders("de_1", "digits", now=1999, limit=1) == [ORDER]
            assert await tx.pending_orders("de_1", "digits", now=2000) == [second]
            assert await tx.pending_orders("de_2", "digits", now=1999) == []
            assert type((await tx.orders("de_1"))[0].payload) is bytes
            await tx.note_fetched(["or_1"], at=1500)
            await tx.note_fetched(["or_1", "or_0"], at=1600)
            await tx.note_fetched([], at=1700)
            fetched = [dataclasses.replace(ORDER, fetched=1500), dataclasses.replace(second, fetched=1600)]
            assert await tx.pending_orders("de_1", "digits", now=1999) == fetched
            await tx.note_reported("or_1", at=1800, outcome="absent", receipt="a.b.c")
            assert await tx.pending_orders("de_1", "digits", now=1999) == fetched[1:]
            done = dataclasses.replace(fetched[0], reported=1800, outcome="absent", receipt="a.b.c")
            assert await tx.order("or_1") == done
            await tx.sign_order("or_1", signed="anew")
            assert await tx.order("or_1") == dataclasses.replace(done, signed="anew")
            await tx.note_withdrawn("or_0", at=1900)
            assert await tx.pending_orders("de_1", "digits", now=1999) == []
            assert await tx.order("or_0") == dataclasses.replace(fetched[1], withdrawn=1900)

    run(test)


def test_one_attested_key_of_each_kind_is_remembered(run):
    async def test(ledger: Ledger) -> None:
        app, anew = (
            dataclasses.replace(ATTESTED, kind="app-attest"),
            dataclasses.replace(ATTESTED, known="{}", revision=9),
        )
        async with ledger.begin() as tx:
            await tx.keep_attestation(ATTESTED)
            await tx.keep_attestation(app)
            assert await tx.attestations("de_1") == [app, ATTESTED]
            await tx.keep_attestation(anew)
        async with ledger.begin() as tx:
            assert await tx.attestations("de_1") == [app, anew]
            assert type((await tx.attestations("de_1"))[0].mac) is bytes
            assert await tx.attestations("de_2") == []

    run(test)


def test_devices_are_found_by_the_hardware_that_vouched_for_them(run):
    async def test(ledger: Ledger) -> None:
        names = ("de_1", "de_2", "de_3", "de_4")
        devices = [dataclasses.replace(DEVICE, id=one, thumbprint=one.encode().ljust(32)) for one in names]
        devices[2] = dataclasses.replace(devices[2], state="blocked")
        async with ledger.begin() as tx:
            for device in devices[1:]:
                await tx.add_device(device)
            for name in names[:3]:
                await tx.keep_attestation(dataclasses.replace(ATTESTED, device=name))
            await tx.keep_attestation(dataclasses.replace(ATTESTED, device="de_1", kind="app-attest"))
            await tx.keep_attestation(dataclasses.replace(ATTESTED, device="de_4", hardware=b"x" * 32))
        async with ledger.begin() as tx:
            found = await tx.devices_with("tpm", b"w" * 32, besides="de_9")
            assert found == [devices[2], DEVICE, devices[1]]  # the blocked one first
            assert await tx.devices_with("tpm", b"w" * 32, besides="de_9", limit=1) == [devices[2]]
            assert await tx.devices_with("tpm", b"w" * 32, besides="de_3") == [DEVICE, devices[1]]
            assert await tx.devices_with("app-attest", b"w" * 32, besides="de_1") == []
            assert await tx.devices_with("tpm", b"y" * 32, besides="de_9") == []

    run(test)


def test_of_fifty_that_judged_by_one_state_one_advances_it(run):
    """B08: a counter is moved by comparing and setting, so whoever judged by an older state loses."""

    async def test(ledger: Ledger) -> None:
        steps = [dataclasses.replace(ATTESTED, known=f"{number}", revision=2) for number in range(50)]
        async with ledger.begin() as tx:
            await tx.keep_attestation(ATTESTED)
            await tx.keep_attestation(dataclasses.replace(ATTESTED, kind="app-attest"))

        async def advance(row: AttestationRow) -> bool:
            async with ledger.begin() as tx:
                return await tx.advance_attestation(row, before=ATTESTED)

        won = await asyncio.gather(*map(advance, steps))
        assert won.count(True) == 1
        async with ledger.begin() as tx:
            app, kept = await tx.attestations("de_1")
            assert (app.revision, kept) == (1, steps[won.index(True)])
            for stale in ({"revision": 1}, {"known": "other"}, {"kind": "app-attest"}, {"device": "de_9"}):
                assert not await tx.advance_attestation(ATTESTED, before=dataclasses.replace(kept, **stale))
            assert await tx.advance_attestation(dataclasses.replace(kept, revision=3), before=kept)

    run(test)
