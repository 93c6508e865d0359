"""Who is caught, who is left alone, and that every decision says why."""

import dataclasses

import pytest

from rooms.risk.people import DAY, HOUR, MINUTE, Life
from strongroom.risk.defaults import default_rules
from strongroom.risk.engine import entities, fixed_medium, restore, standing, step_up
from strongroom.risk.entities import Entity, Kind
from strongroom.risk.events import Event
from strongroom.risk.rules import Mode, Snooze


def test_an_ordinary_life_is_left_alone():
    life = Life()
    life.settle(days=40)
    assert set(life.bands) == {"none"}


def test_a_scraper_is_high_within_ten_models():
    life = Life()
    life.settle()
    bands = [life.session(models=(f"m{n}",)).band for n in range(10, 18)]
    assert bands[0] == "none"
    assert bands[-1] == "high"


def test_the_same_model_fetched_again_and_again_adds_up_over_sessions():
    life = Life()
    life.settle()
    bands = []
    for _ in range(4):
        bands.append(life.session(models=("m1",) * 16).band)
        life.wait(2 * HOUR)
    assert "high" in bands


def test_resumed_downloads_do_not_count():
    life = Life()
    life.settle()
    for _ in range(40):
        assert life.say("model_download", model="m1", session_id="s", resumed=True).band == "none"


def test_one_new_device_after_another_is_high():
    life = Life()
    life.settle()
    bands = []
    for n in range(9):
        bands.append(life.session(key=f"new{n}").band)
        life.wait(3 * HOUR)
    assert bands[:3] == ["none"] * 3
    assert bands[-1] == "high"


def test_a_family_that_gets_its_devices_at_once_is_left_alone():
    life = Life()
    for n in range(5):
        life.say("app_install", key=f"f{n}")
        life.session(key=f"f{n}", models=("m1", "m2"))
    life.wait(DAY)
    for n in range(20):
        life.session(key=f"f{n % 5}")
        life.wait(10 * MINUTE)
    assert set(life.bands) == {"none"}


def test_a_restored_phone_is_left_alone_though_the_old_one_is_on_for_a_day():
    life = Life()
    life.settle()
    life.say("app_install", key="k2", device_id="id-k1")
    for n in range(8):
        life.session(key="k1" if n % 2 else "k2", device_id="id-k1", models=("m1", "m2") if not n else ())
        life.wait(3 * HOUR)
    for _ in range(10):
        life.wait(DAY)
        life.session(key="k2", device_id="id-k1")
    assert set(life.bands) == {"none"}


def test_clones_with_one_id_are_high_the_second_day():
    life = Life()
    life.settle()
    for _ in range(4):
        for n in range(4):
            last = life.session(key=f"c{n}", device_id="one", ip=f"198.51.{n}.9")
        life.wait(9 * HOUR)
    assert last.band == "high"


def test_three_phones_restored_one_from_the_other_and_used_in_turns_are_no_clones():
    life = Life()
    life.settle()
    for n in range(24):
        decision = life.session(key=f"k{n % 3}", device_id="id-k1")
        assert "device_clones" not in decision.hits
        life.wait(2 * HOUR)
    assert set(life.bands) == {"none"}


def test_an_id_that_many_users_bear_identifies_nobody():
    life = Life()
    for n in range(6):
        life.say("app_install", f"u{n}", f"vk{n}", device_id="02:00:00:00:00:00")
    for n in range(60):
        life.session(f"u{n % 6}", f"vk{n % 6}", device_id="02:00:00:00:00:00", ip=f"198.51.{n % 6}.9")
        life.wait(2 * HOUR)
    assert set(life.bands) == {"none"}


def test_one_key_that_shows_id_after_id_is_high():
    life = Life()
    life.settle()
    bands = [life.session(device_id=f"claim{n}").band for n in range(8)]
    assert bands[-1] == "high"


def test_a_ring_of_puppets_is_high_at_its_third_account_and_its_first_shares_the_band():
    life = Life()
    bands = []
    for n in range(3):
        life.say("app_install", f"puppet{n}", "ring", app_install_id=f"i{n}")
        bands.append(life.session(f"puppet{n}", "ring", ("m1", "m2"), app_install_id=f"i{n}").band)
        life.wait(4 * HOUR)
    assert bands == ["none", "none", "high"]
    assert life.session("puppet0", "ring", app_install_id="i0").band == "high"


def test_people_who_share_a_tablet_are_left_alone():
    life = Life()
    life.say("app_install", "u0", "tablet")
    for n in range(40):
        life.session(f"u{n % 4}", "tablet", ("m1",) if n < 4 else ())
        life.wait(8 * HOUR)
    assert set(life.bands) == {"none"}


def test_a_reinstaller_is_high_but_updates_are_not_counted():
    life = Life()
    life.settle()
    bands = []
    for n in range(9):
        bands.append(life.say("app_install", app_install_id=f"again{n}").band)
        life.wait(5 * HOUR)
    assert bands[-1] == "high"
    calm = Life()
    calm.settle()
    for n in range(9):
        assert calm.say("app_install", app_install_id=f"update{n}", ver=f"2.{n}").score == 0
        calm.wait(4 * DAY)


class TestTakeover:
    """A stranger's device on a stolen login."""

    def taken(self, **more):
        life = Life()
        life.settle()
        for _ in range(4):
            life.say("login_fail", key="thief", ip="203.0.113.5")
        life.say("app_install", key="thief", ip="203.0.113.5", **more)
        life.session(key="thief", ip="203.0.113.5", models=tuple(f"x{n}" for n in range(6)), **more)
        return life

    def test_the_thief_is_high_within_four_models_and_the_victim_is_not_even_medium(self):
        life = self.taken()
        assert life.bands[-1] == "high"
        for _ in range(4):
            assert life.session(models=("m1",)).band == "none"
            life.wait(HOUR)

    def test_the_thief_s_emulator_does_not_stop_the_victim(self):
        life = self.taken(tamper=("emulator",), attestation="basic")
        assert life.bands[-1] == "stop"
        assert life.session(models=("m1",)).band == "none"

    def test_the_thief_s_use_of_a_decoy_does_not_stop_the_victim(self):
        life = self.taken()
        assert life.say("honeypot", key="thief", ip="203.0.113.5", decoy="endpoint").band == "stop"
        assert life.session().band == "none"

    def test_a_new_phone_set_up_elsewhere_with_one_s_own_models_is_left_alone(self):
        life = Life()
        life.settle()
        life.say("app_install", key="k2", ip="203.0.113.5")
        life.session(key="k2", ip="203.0.113.5", models=("m1", "m2"))
        life.wait(DAY)
        life.session(key="k2")
        assert set(life.bands) == {"none"}

    def test_failed_logins_fill_nobody_s_lists(self):
        life = Life()
        life.settle()
        for n in range(50):
            life.say("login_fail", key=f"guess{n}", device_id=f"guess{n}", ip=f"203.0.{n}.5")
        life.wait(2 * HOUR)
        assert life.session().band == "none"


class TestStops:
    """Facts that need no score."""

    @pytest.mark.parametrize(
        ("more", "word"),
        [
            ({"tamper": ("hook",), "attestation": "basic"}, "tamper"),
            ({"tamper": ("root", "debugger"), "attestation": "fail"}, "tamper"),
            ({"app_sig": "bad"}, "signature"),
            ({"tamper": ("root",), "attestation": "fail"}, "rooted"),
        ],
    )
    def test_a_device_is_stopped(self, more, word):
        life = Life()
        decision = life.say("attest", **more)
        assert decision.band == "stop"
        assert word in {stop.word for stop in decision.stops}
        assert decision.reaction.refuse

    def test_a_user_s_other_device_goes_on_until_a_second_one_is_stopped(self):
        life = Life()
        life.settle()
        life.say("attest", key="bad1", app_sig="bad")
        assert life.say("attest").band == "none"
        life.say("attest", key="bad2", app_sig="bad")
        decision = life.say("attest")
        assert decision.band == "stop"
        assert decision.user_band == "stop"

    def test_a_decoy_stops_user_and_device(self):
        life = Life()
        life.settle()
        life.say("honeypot", decoy="model")
        assert life.say("attest", key="k9").band == "stop"

    def test_a_scanner_s_hits_are_noise(self):
        life = Life()
        for n in range(20):
            assert life.say("honeypot", None, None, device_id=f"d{n}", decoy="endpoint").band == "none"
        assert not [entity for entity in life.states if entity.kind in (Kind.USER, Kind.KEY)]
        assert life.say("honeypot", None, "nobody's", decoy="endpoint").band == "none"

    def test_unavailable_is_never_a_stop_and_one_fail_is_none(self):
        life = Life()
        life.settle()
        for _ in range(30):
            assert life.say("attest", attestation="unavailable").band == "none"
        life.say("attest", attestation="fail")
        assert life.say("key_request", model="m1", attestation="fail").band == "none"  # the same verdict, carried along
        assert life.say("attest").band == "none"

    def test_two_failed_attestations_stop(self):
        life = Life()
        life.settle()
        life.say("attest", attestation="fail")
        life.wait(10 * MINUTE)
        assert life.say("attest", attestation="fail").band == "stop"

    def test_failed_attestations_days_apart_add_up_unless_one_passes_between(self):
        for between, band in (("unavailable", "stop"), ("pass", "none"), ("basic", "none")):
            life = Life()
            life.settle()
            life.say("attest", attestation="fail")
            life.wait(2 * DAY)
            life.say("attest", attestation=between)
            assert life.say("attest", attestation="fail").band == band

    def test_a_restored_phone_that_tries_again_and_again_is_enrolled_anew_and_left_alone(self):
        for key in ("k1", "k2"):
            life = Life()
            life.settle()
            for _ in range(3):
                assert life.say("attest", key=key, attestation="fail").band == "none"
                life.wait(2 * MINUTE)
            for _ in range(4):
                assert life.session(key=key, models=("m1", "m2")).band == "none"
                life.wait(DAY)

    def test_who_fails_twice_and_asks_for_keys_all_the_same_is_stopped_at_once(self):
        life = Life()
        life.settle()
        for _ in range(2):
            life.say("attest", attestation="fail")
        assert life.say("key_request", model="m1", attestation="fail").band == "stop"

    def test_who_fails_again_and_again_within_minutes_is_stopped(self):
        life = Life()
        life.settle()
        assert [life.say("attest", attestation="fail").band for _ in range(4)] == ["none"] * 3 + ["stop"]

    def test_a_tampered_device_s_poor_verdict_is_remembered(self):
        life = Life()
        life.settle()
        life.say("attest", attestation="basic")
        assert life.say("session_start", attestation="unavailable", tamper=("hook",)).band == "stop"

    def test_an_outage_of_the_verdicts_stops_nobody(self):
        life = Life()
        for n in range(40):
            life.session(f"u{n}", f"key{n}")
        life.wait(DAY)
        for _ in range(3):
            for n in range(40):
                assert life.say("attest", f"u{n}", f"key{n}", attestation="fail").band == "none"
            life.wait(3 * MINUTE)

    def test_a_farm_that_fails_all_at_once_is_no_outage(self):
        life = Life()
        for n in range(40):
            life.session(f"u{n}", f"key{n}")
        for n in range(10):
            life.say("attest", f"bot{n}", f"farm{n}", attestation="fail")
            life.say("attest", f"bot{n}", f"farm{n}", attestation="fail")
            asked = life.say("key_request", f"bot{n}", f"farm{n}", attestation="fail", model="m1")
            assert asked.band == "stop"

    def test_a_hook_that_the_attestation_passes_is_medium(self):
        life = Life()
        life.settle()
        assert life.say("attest", tamper=("hook",)).band == "medium"

    def test_a_rooted_phone_that_passes_is_left_alone(self):
        life = Life()
        for _ in range(20):
            assert life.session(tamper=("root",)).band == "none"
            life.wait(DAY)

    def test_staff_may_debug(self):
        life = Life()
        for _ in range(5):
            decision = life.say(
                "attest", "dev", user_class="staff", tamper=("emulator", "debugger"), attestation="basic"
            )
            assert decision.band == "none"

    def test_staff_s_devices_may_fail(self):
        life = Life()
        for _ in range(5):
            assert life.say("attest", "dev", user_class="staff", attestation="fail").score == 0
            life.wait(HOUR)


def test_a_stolen_key_in_use_on_two_networks_at_once_is_noticed():
    life = Life()
    life.settle()
    for _ in range(20):
        last = to_and_fro(life, "203.0.113.5")
        life.wait(4 * HOUR)
    assert last.band == "high"


def test_who_takes_a_session_from_one_network_to_another_holds_one_key():
    life = Life()
    life.settle()
    for _ in range(20):
        for at in range(12):
            life.say("model_run", model="m1", session_id="one", ip=f"198.51.{at % 2}.7")
        assert to_and_fro(life, "192.0.2.9").band == "none", "two sessions on one network"
        life.wait(4 * HOUR)
    assert set(life.bands) == {"none"}


def to_and_fro(life, ip):
    """Use one key in two sessions in turns."""
    for at in range(12):
        more = {"ip": ip} if at % 2 else {}
        last = life.say("model_run", model="m1", session_id=f"s{at % 2} {life.now // HOUR}", **more)
    return last


def test_two_users_with_a_vendor_s_id_are_no_twins():
    life = Life()
    for _ in range(40):
        for who in (0, 1):
            life.session(f"u{who}", f"vk{who}", device_id="9774d56d682e549c", ip=f"198.51.{who}.9")
        life.wait(6 * HOUR)
    assert set(life.bands) == {"none"}


def test_a_new_phone_elsewhere_fetches_what_its_owner_was_only_ever_seen_to_run():
    life = Life()
    for _ in range(6):
        for n in range(5):
            life.say("model_run", model=f"m{n}")
        life.wait(DAY)
    life.session(key="k2", ip="203.0.113.5", models=tuple(f"m{n}" for n in range(5)))
    assert set(life.bands) == {"none"}


def test_a_model_that_was_run_before_it_was_asked_for_is_new_all_the_same():
    life = Life()
    life.settle()
    for n in range(10, 18):
        life.say("model_run", model=f"m{n}")
        last = life.session(models=(f"m{n}",))
    assert last.band == "high"


def test_an_id_that_changes_with_a_reinstall_is_half_an_alibi():
    life = Life()
    life.settle()
    for n in range(4):
        life.wait(5 * DAY)
        life.say("app_install", device_id=f"vendor{n}", app_install_id=f"anew{n}")
        assert life.session(device_id=f"vendor{n}", app_install_id=f"anew{n}").band == "none"


def test_a_few_reinstallers_do_not_look_like_a_broken_build():
    life = Life()
    for n in range(150):
        life.session(f"u{n}", f"key{n}", ("m1",))
    bands = {n: [] for n in range(5)}
    for round_ in range(10):
        for n in range(5):
            bands[n].append(life.say("app_install", f"u{n}", f"key{n}", app_install_id=f"again{n} {round_}").band)
        life.wait(4 * HOUR)
    assert all(found[-1] == "high" for found in bands.values())


def test_where_ver_is_the_model_s_version_two_who_fetch_it_again_and_again_are_charged_and_the_third_is_not():
    life = Life()
    for day in range(3):
        for n in range(80):
            life.say("session_start", f"u{n}", f"key{n}", ver=None)
            life.say("model_download", f"u{n}", f"key{n}", ver="v3", model="m1", session_id=f"{n} {day}")
        life.wait(DAY if day < 2 else HOUR)
    for n, band in enumerate(("high", "high", "none")):
        last = [life.session(f"u{n}", f"key{n}", ("m1",) * 40, ver="v3") for _ in range(3)]
        assert last[-1].band == band
    assert life.session("u9", "key9", ("m2",) * 40, ver="v3").band == "high", "another model of that version"


def test_a_broken_build_does_not_punish_its_users():
    life = Life()
    for n in range(60):
        life.session(f"u{n}", f"key{n}", ("m1",))
    life.wait(DAY)
    hit = set()
    for round_ in range(3):
        for n in range(60):
            decision = life.session(f"u{n}", f"key{n}", ("m1",) * 20, ver="6.6.6")
            if decision.band != "none":
                hit.add(n)
            if round_:
                assert "burst" not in decision.hits
        life.wait(DAY)
    assert hit <= {0, 1, 2}, "only the first few, before it could be known"


def test_too_many_at_high_at_once_freeze_at_medium():
    base = default_rules()
    rules = dataclasses.replace(base, breaker=dataclasses.replace(base.breaker, least=5))
    life = Life(rules)
    for n in range(50):
        life.session(f"u{n}", f"key{n}", ("m1",))
    life.wait(3 * DAY)
    last = [life.session(f"u{n}", f"key{n}", tuple(f"x{at}" for at in range(12))) for n in range(20)]
    assert [one.band for one in last[:4]] == ["high"] * 4
    assert last[-1].band == "medium"
    assert "breaker" in last[-1].notes
    assert sum(one.band == "high" for one in last) == 5


def test_a_band_is_left_after_a_day_and_well_below_its_threshold():
    life = Life()
    life.settle()
    assert life.say("attest", tamper=("hook",)).band == "medium"
    life.wait(20 * HOUR)
    assert life.say("session_end").band == "medium"
    life.wait(28 * HOUR)
    assert 2000 < life.say("session_end").score < 2500
    assert life.say("session_end").band == "medium", "below 30, but not by 10"
    life.wait(2 * DAY)
    assert life.say("session_end").band == "none"


class TestAmends:
    """A passed step-up, an operator's word, snoozes."""

    def medium(self):
        life = Life()
        life.settle()
        assert life.say("attest", tamper=("hook",)).band == "medium"
        return life

    def test_a_step_up_clears_medium_and_trusts_the_pair(self):
        life = self.medium()
        decision = step_up(life.rules, "ann", "k1", life.now, life.states)
        assert decision.band == "none"
        assert decision.score == 875
        pair = next(iter(life.states[Entity(Kind.KEY, "k1")].users.values()))
        assert pair[2] == (life.now // HOUR) + 14 * 24

    def test_a_step_up_does_not_clear_high_or_stop(self):
        life = Life()
        life.settle()
        for n in range(8):
            life.session(models=(f"x{n}",))
        before = life.say("session_end")
        assert before.band == "high"
        assert step_up(life.rules, "ann", "k1", life.now, life.states).score == before.score
        life.say("attest", app_sig="bad")
        assert step_up(life.rules, "ann", "k1", life.now, life.states).band == "stop"

    def test_an_operator_clears_everything(self):
        life = self.medium()
        life.say("honeypot", decoy="key")
        for entity in (Entity(Kind.USER, "ann"), Entity(Kind.KEY, "k1")):
            restore(life.rules, entity, life.now, life.states)
        decision = standing(life.rules, "ann", "k1", life.now, life.states)
        assert (decision.band, decision.score, decision.stops) == ("none", 0, ())

    def test_a_snoozed_rule_neither_charges_nor_counts_until_its_end(self):
        life = self.medium()
        snooze = Snooze("tamper", "key:k1", life.now + DAY, "ann", "ticket 411")
        life.rules = dataclasses.replace(life.rules, snoozes=(snooze,))
        assert life.say("session_end").score == 0
        life.wait(DAY)
        assert life.say("session_end").score > 0

    def test_looking_moves_nothing(self):
        life = self.medium()
        packed = {entity: state.pack() for entity, state in life.states.items()}
        standing(life.rules, "ann", "k1", life.now + 30 * DAY, life.states)
        standing(life.rules, "bob", "k2", life.now, life.states)
        assert {entity: state.pack() for entity, state in life.states.items()} == packed


def changed(**modes):
    base = default_rules()
    rules = tuple(dataclasses.replace(rule, mode=modes.get(rule.id, rule.mode)) for rule in base.rules)
    return dataclasses.replace(base, rules=rules)


def test_a_rule_in_shadow_says_what_it_would_add_and_adds_nothing():
    life = Life(changed(tamper=Mode("shadow")))
    life.settle()
    decision = life.say("attest", tamper=("hook",))
    assert (decision.band, decision.score) == ("none", 0)
    assert [(points.rule, points.points) for points in decision.shadow] == [("tamper", 3500)]


def test_a_rule_for_some_is_for_the_same_users_each_time():
    life = Life(changed(tamper=Mode("percent", 30)))
    first = [life.say("attest", f"u{n}", f"key{n}", tamper=("hook",)).band for n in range(200)]
    again = [life.say("attest", f"u{n}", f"key{n}", tamper=("hook",)).band for n in range(200)]
    assert first == again
    assert 30 < first.count("medium") < 90


def test_a_class_in_the_rules_overrules_the_event_s():
    life = Life(dataclasses.replace(default_rules(), classes={"staff": frozenset({"ann"})}))
    assert life.say("attest", tamper=("hook",)).band == "none"


def test_entitlement_raises_the_allowance_of_models():
    life = Life()
    life.settle()
    for n in range(12):
        decision = life.session(models=(f"x{n}",), entitled=40)
        assert not {"breadth", "breadth_slow"} & set(decision.hits)
        life.wait(DAY)


def test_every_state_that_changes_is_announced():
    life = Life()
    life.settle()
    event = Event("e", life.now, "key_request", "ann", device_id="other", device_key="k7", model="m", ver="2")
    before = set(life.states)
    life.say("key_request", "ann", "k7", device_id="other", model="m", ver="2")
    assert set(life.states) - before <= set(entities(event))


def test_the_policy_for_a_failing_engine_is_medium_and_never_a_wipe():
    decision = fixed_medium(default_rules(), "e1")
    assert decision.band == "medium"
    assert not decision.reaction.wipe
    assert not decision.reaction.refuse


def test_a_decision_explains_itself():
    life = Life()
    life.settle()
    decision = life.say("attest", tamper=("hook",))
    assert "tamper" in decision.text()
    value = decision.to_value()
    assert value["rules"] == [
        {
            "rule": "tamper",
            "entity": "key:k1",
            "points": 35.0,
            "text": "hook, debugger or emulator reported, though the attestation says nothing bad",
        }
    ]
    assert value["moved"] == [{"entity": "key:k1", "before": "none", "after": "medium"}]
    assert value["policy"] == life.rules.version


def test_rings_of_puppets_that_reinstall_do_not_hide_a_reinstaller_behind_their_build():
    life = Life()
    for n in range(50):
        life.session(f"u{n}", f"key{n}", ("m1",))
    bands = []
    for round_ in range(9):
        for n in range(5):
            life.say("app_install", f"p{n} {round_}", "ring", app_install_id=f"p{n} {round_}")
        bands.append(life.say("app_install", "u0", "key0", app_install_id=f"again{round_}").band)
        life.wait(HOUR)
    assert bands[-1] == "high"
