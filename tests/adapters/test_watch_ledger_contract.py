"""What every ledger must do for watching: one suite over the database and the in-memory fake."""

import asyncio
import dataclasses

import pytest

from opened_ledgers import OPEN
from strongroom.errors import Code, InputError
from strongroom.server.ports import Account, DeviceRow, User
from strongroom.server.watch_ports import AlertRow, AppealRow, DecoyRow, RiskEventRow, RiskRow, SnoozeRow

STATE = RiskRow(b"e" * 16, "user", "us_1", 1, 1000, b"packed")
EVENT = RiskEventRow("ev_1", 1000, "us_1", "key_1", 1, "{}")
SNOOZE = SnoozeRow("sn_1", "parallel", "us_1", 2000, "op_1", "ticket 411", 1000)
DECOY = DecoyRow("dc_1", "endpoint", "/v1/export", "sdk", b"m" * 32, 1000, "op_1", "active")
ALERT = AlertRow("al_1", "dc_1:us_1:0", 1000, "{}", 0, 1000)
APPEAL = AppealRow("ap_1", "de_1", "us_1", "ref_1", "it was my dog", 1000)


@pytest.fixture(params=sorted(OPEN))
def run(request, tmp_path):
    """Run an async test against one ledger, which holds an account, a user and a device."""

    def runner(test):
        async def whole():
            ledger = OPEN[request.param](tmp_path)
            async with ledger.begin() as tx:
                await tx.add_account(Account("ac_1", "acme", "active", 1))
                await tx.add_user(User("us_1", "ac_1", "acme", "active", 1))
                await tx.add_device(
                    DeviceRow("de_1", "ac_1", "us_1", b"t" * 32, "jkt", "ES256", b"p" * 65, "{}", "active", 1, 1)
                )
            try:
                await test(ledger)
            finally:
                await ledger.close()

        asyncio.run(whole())

    return runner


def test_states_take_the_place_of_the_ones_before(run):
    async def check(ledger):
        other = dataclasses.replace(STATE, entity=b"f" * 16, name="us_2", band=3, moved=900)
        async with ledger.begin() as tx:
            assert list(await tx.risk_states([STATE.entity])) == []
            await tx.keep_risk_states([STATE, other])
        async with ledger.begin() as tx:
            await tx.keep_risk_states([dataclasses.replace(STATE, band=2, moved=1100, state=b"later")])
        async with ledger.begin() as tx:
            found = {row.entity: row for row in await tx.risk_states([STATE.entity, b"f" * 16, b"z" * 16])}
            assert found == {
                STATE.entity: dataclasses.replace(STATE, band=2, moved=1100, state=b"later"),
                b"f" * 16: other,
            }
            assert [row.name for row in await tx.risk_standing(least=2)] == ["us_1", "us_2"]
            assert [row.name for row in await tx.risk_standing(least=3)] == ["us_2"]
            assert await tx.risk_count(least=2, since=1000) == 1
            assert await tx.risk_count(least=2, since=0) == 2

    run(check)


def test_what_a_failed_transaction_kept_is_gone(run):
    async def check(ledger):
        async def fail():
            async with ledger.begin() as tx:
                await tx.keep_risk_states([STATE])
                await tx.add_risk_event(EVENT)
                await tx.add_alert(ALERT)
                raise RuntimeError

        with pytest.raises(RuntimeError):
            await fail()
        async with ledger.begin() as tx:
            assert list(await tx.risk_states([STATE.entity])) == []
            assert list(await tx.risk_events(user="us_1")) == []
            assert list(await tx.alerts()) == []

    run(check)


def test_events_come_newest_first_and_the_log_in_order(run):
    async def check(ledger):
        rows = [dataclasses.replace(EVENT, id=f"ev_{n}", at=1000 + n // 2, key=f"key_{n % 2}") for n in range(6)]
        async with ledger.begin() as tx:
            for row in rows:
                await tx.add_risk_event(row)
        with pytest.raises(InputError) as caught:
            async with ledger.begin() as tx:
                await tx.add_risk_event(rows[0])
        assert caught.value.code == Code.CONFLICT
        async with ledger.begin() as tx:
            assert list(await tx.risk_events(user="us_1", limit=2)) == [rows[5], rows[4]]
            assert list(await tx.risk_events(key="key_0")) == [rows[4], rows[2], rows[0]]
            assert len(await tx.risk_events(user="us_9", key="key_1")) == 3
            assert list(await tx.risk_events(user="us_1", until=1000)) == [rows[1], rows[0]]
            assert list(await tx.risk_events(user="us_2")) == []
            assert await tx.risk_event("ev_3") == rows[3]
            assert await tx.risk_event("ev_9") is None
            log = await tx.risk_log(limit=4)
            assert [row for _, row in log] == rows[:4]
            assert [row for _, row in await tx.risk_log(after=log[-1][0])] == rows[4:]
            assert await tx.drop_risk_events(before=1001, limit=1) == 1
            assert await tx.drop_risk_events(before=1001) == 1
            assert await tx.drop_risk_events(before=1001) == 0
            assert [row for _, row in await tx.risk_log(after=log[0][0])] == rows[2:]

    run(check)


def test_a_snooze_ends_by_time_or_by_hand(run):
    async def check(ledger):
        async with ledger.begin() as tx:
            await tx.add_snooze(SNOOZE)
            assert await tx.snooze("sn_1") == SNOOZE
            assert list(await tx.snoozes(now=1999)) == [SNOOZE]
            assert list(await tx.snoozes(now=2000)) == []
            await tx.end_snooze("sn_1", at=1500)
            assert list(await tx.snoozes(now=1600)) == []
            assert list(await tx.snoozes()) == [dataclasses.replace(SNOOZE, ended=1500)]

    run(check)


def test_a_decoy_is_found_by_what_a_hit_shows(run):
    async def check(ledger):
        async with ledger.begin() as tx:
            await tx.add_decoy(DECOY)
            await tx.note_decoy_hit("dc_1", at=1100)
            await tx.note_decoy_hit("dc_1", at=1200)
            await tx.note_decoy_tested("dc_1", at=1300)
            await tx.set_decoy_state("dc_1", "removed")
            found = await tx.decoy_by_mark(DECOY.mark)
            assert found == dataclasses.replace(DECOY, hits=2, hit=1200, tested=1300, state="removed")
            assert await tx.decoy("dc_1") == found == await tx.decoy_named("endpoint", "/v1/export")
            assert list(await tx.decoys()) == [found]
            assert await tx.decoy_by_mark(b"x" * 32) is None
            assert await tx.decoy_named("model", "/v1/export") is None
        for twin in ({"id": "dc_2", "mark": b"n" * 32}, {"id": "dc_3", "name": "/v1/other"}):
            with pytest.raises(InputError) as caught:
                async with ledger.begin() as tx:
                    await tx.add_decoy(dataclasses.replace(DECOY, **twin))
            assert caught.value.code == Code.CONFLICT

    run(check)


def test_an_alert_is_there_once_and_waits_until_it_is_sent(run):
    async def check(ledger):
        async with ledger.begin() as tx:
            assert await tx.add_alert(ALERT)
            assert not await tx.add_alert(dataclasses.replace(ALERT, id="al_2", at=1001))
            assert await tx.add_alert(dataclasses.replace(ALERT, id="al_3", key="other", due=990))
            assert [row.id for row in await tx.due_alerts(now=1000)] == ["al_3", "al_1"]
            await tx.note_alert("al_3", attempts=1, due=1500)
            assert [row.id for row in await tx.due_alerts(now=1000)] == ["al_1"]
            await tx.note_alert("al_1", attempts=1, due=1000, sent=1002)
            await tx.note_alert("al_3", attempts=2, due=1500, given_up=9000)
            assert list(await tx.due_alerts(now=9999)) == []
            assert {row.id: (row.sent, row.given_up) for row in await tx.alerts()} == {
                "al_1": (1002, None),
                "al_3": (None, 9000),
            }

    run(check)


def test_the_hour_of_alerts_about_somebody_ends_and_of_nobody_else(run):
    """R93: names are compared as they are: `_` is no wildcard, case counts, and half a name is none."""

    async def check(ledger):
        ended = ["decoy.hit:dcy_1:dev_a_B:7", "risk.stopped:dev_a_B:7", "risk.raised:user:usr_%:stop:7"]
        kept = [
            "risk.stopped:dev_aXB:7",
            "risk.stopped:dev_a_b:7",
            "risk.stopped:dev_a_BC:7",
            "risk.stopped:xdev_a_B:7",
            "risk.raised:user:usr_1:stop:7",
            f"decoy.hit:{'d' * 240}:dev_b:7",
            "dev_a_B",
        ]
        made = [dataclasses.replace(ALERT, id=f"al_{n}", key=key) for n, key in enumerate(ended + kept)]
        old = dataclasses.replace(ALERT, id="al_old", key="risk.stopped:dev_a_B:6", at=999)
        async with ledger.begin() as tx:
            for row in (*made, old):
                await tx.add_alert(row)
            await tx.note_alert("al_0", attempts=1, due=1000, sent=1002)
        async with ledger.begin() as tx:
            await tx.end_alert_hours([], since=0)
            for _ in range(2):  # saying it again is harmless
                await tx.end_alert_hours(["dev_a_B", "usr_%"], since=1000)
        async with ledger.begin() as tx:
            found = {row.id: row.key for row in await tx.alerts()}
            of_kept = {row.id: row.key for row in made if row.key in kept}
            assert found == {"al_0": "al_0", "al_1": "al_1", "al_2": "al_2", **of_kept, old.id: old.key}
            again = [await tx.add_alert(dataclasses.replace(row, id=f"{row.id}x")) for row in (*made, old)]
            assert again == [True] * len(ended) + [False] * (len(kept) + 1)
            assert "al_0" not in {row.id for row in await tx.due_alerts(now=1000)}  # what was sent is not sent again
            await tx.end_alert_hours(["dev_a_B"], since=1000)  # a second restore, with two ended alerts of one kind
            assert {row.key for row in await tx.alerts() if row.id in ("al_0", "al_0x")} == {"al_0", "al_0x"}

    run(check)


def test_an_hour_that_a_failed_transaction_ended_goes_on(run):
    async def check(ledger):
        async def fail():
            async with ledger.begin() as tx:
                await tx.end_alert_hours(["us_1"], since=0)
                raise RuntimeError

        async with ledger.begin() as tx:
            await tx.add_alert(ALERT)
        with pytest.raises(RuntimeError):
            await fail()
        async with ledger.begin() as tx:
            assert list(await tx.alerts()) == [ALERT]

    run(check)


def test_only_alerts_that_are_over_for_long_are_dropped(run):
    """The oldest first, counted from when it was sent or given up; what waits stays, however old, and so do keys."""

    async def check(ledger):
        named = [dataclasses.replace(ALERT, id=f"al_{n}", key=f"key {n}", at=1000 + n) for n in range(6)]
        async with ledger.begin() as tx:
            for row in named:
                await tx.add_alert(row)
            await tx.note_alert("al_1", attempts=1, due=9000, sent=1500)
            await tx.note_alert("al_2", attempts=9, due=9000, given_up=1600)
            await tx.note_alert("al_3", attempts=1, due=9000, sent=1700)
            await tx.note_alert("al_4", attempts=1, due=9000, sent=2000)  # made early, sent late
            await tx.note_alert("al_5", attempts=9, due=9000, given_up=2001)
        async with ledger.begin() as tx:
            assert await tx.drop_alerts(before=2000, limit=2) == 2
            assert [row.id for row in await tx.alerts()] == ["al_5", "al_4", "al_3", "al_0"]
            assert await tx.drop_alerts(before=2000) == 1
            assert await tx.drop_alerts(before=2000) == 0
            assert [row.id for row in await tx.alerts()] == ["al_5", "al_4", "al_0"]
            assert [row.id for row in await tx.due_alerts(now=2000)] == ["al_0"]
            again = [await tx.add_alert(dataclasses.replace(row, id=f"{row.id}x")) for row in named]
            assert again == [False, True, True, True, False, False]

    run(check)


def test_an_appeal_waits_until_somebody_decides(run):
    async def check(ledger):
        async with ledger.begin() as tx:
            await tx.add_appeal(APPEAL)
            assert list(await tx.appeals(waiting=True)) == [APPEAL] == [await tx.appeal("ap_1")]
            await tx.close_appeal("ap_1", at=1500, outcome="restored", operator="op_1")
            assert list(await tx.appeals(waiting=True)) == []
            closed = dataclasses.replace(APPEAL, closed=1500, outcome="restored", operator="op_1")
            assert list(await tx.appeals(waiting=False)) == [closed]

    run(check)


def test_a_users_state_changes(run):
    async def check(ledger):
        async with ledger.begin() as tx:
            await tx.set_user_state("us_1", "stopped")
            user = await tx.user("us_1")
            assert user is not None
            assert user.state == "stopped"

    run(check)
