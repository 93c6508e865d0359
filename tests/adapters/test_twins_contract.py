"""What every ledger must do for decoy twins: one suite over the database and the in-memory fake."""

import asyncio
import dataclasses

import pytest

from opened_ledgers import OPEN
from strongroom.errors import Code, InputError
from strongroom.server.ports import Account, DeviceRow, ReleaseRow, StoredFile, User, Version
from strongroom.server.twin_ports import Given, TwinRow

VERSION = Version("ve_1", "digits", "1.0", 1, 1, "stable", "ready", "", "op_1", 1)
REAL = StoredFile(
    file_id=b"r" * 32,
    version_id="ve_1",
    account=None,
    position=0,
    key_id=b"k" * 16,
    kind="model",
    suite=1,
    head=b"h" * 64,
    commitment=b"c" * 32,
    head_part=b"head",
    size=10,
    object_name="real",
    wrapped=b"w",
    created=1,
)
FAKE = dataclasses.replace(REAL, file_id=b"a" * 32, commitment=b"d" * 32, object_name="fake", twin="tw_1")
TWIN = TwinRow("tw_1", "ve_1", "uploading", "", "op_1", 5)
RELEASE = ReleaseRow("re_1", "de_1", "ac_1", "ve_1", b"q" * 32, b"e" * 32, "le_1", 2000, 1000, twin="tw_1")


@pytest.fixture(params=sorted(OPEN))
def run(request, tmp_path):
    """Run an async test against one ledger with a device, and a version of one file and its twin."""

    def runner(test):
        async def whole():
            ledger = OPEN[request.param](tmp_path)
            async with ledger.begin() as tx:
                await tx.add_account(Account("ac_1", "acme", "active", 1))
                await tx.add_user(User("us_1", "ac_1", "acme", "active", 1))
                await tx.add_device(
                    DeviceRow("de_1", "ac_1", "us_1", b"t" * 32, "jkt", "ES256", b"p" * 65, "{}", "active", 1, 1)
                )
                await tx.add_version(VERSION, [REAL])
                await tx.add_twin(TWIN, [FAKE])
            try:
                await test(ledger)
            finally:
                await ledger.close()

        asyncio.run(whole())

    return runner


def test_files_of_a_version_are_never_its_twin_s(run):
    async def check(ledger):
        async with ledger.begin() as tx:
            for state in ("uploading", "checking", "ready", "failed"):
                await tx.set_twin_state("tw_1", state, reason=state)
                assert list(await tx.files("ve_1")) == [REAL]
                assert list(await tx.twin_files("ve_1")) == ([FAKE] if state == "ready" else [])
                assert list(await tx.deposited_twin_files("tw_1")) == [FAKE]
                row = dataclasses.replace(TWIN, state=state, reason=state)
                assert await tx.twin("tw_1") == await tx.twin_of("ve_1") == await tx.twin_of_object("fake") == row
                assert list(await tx.unfinished_twins()) == ([row] if state == "checking" else [])
            assert await tx.twin("tw_2") is await tx.twin_of("ve_2") is await tx.twin_of_object("real") is None
            assert list(await tx.twin_files("ve_2")) == []

    run(check)


def test_a_version_has_one_twin_and_no_file_or_key_twice(run):
    async def check(ledger):
        other = dataclasses.replace(TWIN, id="tw_2")
        again = dataclasses.replace(TWIN, id="tw_3", version_id="ve_2")
        second = dataclasses.replace(VERSION, id="ve_2", version="2.0", counter=2)
        async with ledger.begin() as tx:
            await tx.add_version(second, [])
        for row, files in ((other, []), (again, [FAKE]), (again, [dataclasses.replace(REAL, twin="tw_3")])):
            with pytest.raises(InputError) as caught:
                async with ledger.begin() as tx:
                    await tx.add_twin(row, files)
            assert caught.value.code == Code.CONFLICT
        async with ledger.begin() as tx:
            await tx.remove_twin("tw_1")
            await tx.add_twin(other, [dataclasses.replace(FAKE, twin="tw_2")])
            assert list(await tx.files("ve_1")) == [REAL]

    run(check)


def test_what_a_device_was_given_last_counts_until_it_is_ended(run):
    async def check(ledger):
        real = dataclasses.replace(RELEASE, id="re_2", ephemeral=b"f" * 32, lease_id="le_2", created=1001, twin=None)
        async with ledger.begin() as tx:
            assert await tx.given("de_1", "ve_1") is None
            await tx.add_release(RELEASE)
            assert await tx.release("re_1") == RELEASE
            assert await tx.given("de_1", "ve_1") == Given("re_1", "tw_1")
            assert [one.file_id for one in await tx.holdings("de_1")] == [FAKE.file_id]
            assert [one.file_id for one in await tx.holders("ve_1", now=1)] == [FAKE.file_id]
            await tx.add_release(real)
            assert await tx.given("de_1", "ve_1") == Given("re_2", None)
            assert [one.file_id for one in await tx.holdings("de_1")] == [REAL.file_id]
            assert await tx.end_twins("de_1", at=1002) == 1
            assert await tx.end_twins("de_1", at=1003) == 0
            assert await tx.release("re_1") == dataclasses.replace(RELEASE, ended=1002)
            assert await tx.given("de_1", "ve_1") == Given("re_2", None)
            assert await tx.given("de_2", "ve_1") is await tx.given("de_1", "ve_2") is None

    run(check)
