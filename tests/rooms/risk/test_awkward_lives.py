"""People whose lives look odd are left alone, and thieves who look ordinary are not: what other populations taught."""

from rooms.risk.people import DAY, HOUR, MINUTE, Life
from strongroom.risk.decision import Decision
from strongroom.risk.engine import entities
from strongroom.risk.events import Event


def new_models(life: Life, first: int, count: int, apart: int, **more: object) -> list[Decision]:
    """Fetch one new model after another; the decision on each."""
    found = []
    for n in range(first, first + count):
        life.wait(apart)
        found.append(life.session(models=(f"m{n}",), **more))
    return found


def test_a_model_that_everybody_fetches_again_and_again_is_the_model_s_fault():
    """`ver` is the model's, a few fetch a model again every day, and then a release makes one user in ten loop."""
    life = Life()
    for day in range(6):
        for n in range(100):
            life.say("session_start", f"u{n}", f"key{n}", ver=None)
            life.say("model_download", f"u{n}", f"key{n}", ver="1", model="m1", session_id=f"{n} {day}")
        life.wait(DAY)
    for n in range(40):
        life.say("model_download", f"u{n}", f"key{n}", ver="1", model="m1")
    hit = set()
    for _ in range(2):
        for n in range(0, 100, 10):
            for _ in range(25):
                told = {"ver": "1", "model": "m1", "session_id": f"l{n}"}
                if life.say("model_download", f"u{n}", f"key{n}", **told).band != "none":
                    hit.add(n)
        life.wait(5 * HOUR)
    assert hit <= {0, 10}, "the first two, before it could be known"


def test_a_model_s_version_is_among_the_states_an_event_needs():
    event = Event("e", 1_800_000_000, "model_download", "ann", device_key="k", model="m1", ver="3")
    names = {str(entity) for entity in entities(event)}
    assert {"build:3", "build:3\0m1"} <= names


def test_without_session_ids_a_pause_ends_a_session():
    life = Life()
    for _ in range(12):
        for _ in range(3):
            assert life.say("model_download", model="m1", session_id=None).score == 0
        life.wait(HOUR)


def test_without_session_ids_many_fetches_in_one_go_count_all_the_same():
    life = Life()
    bands = [life.say("model_download", model="m1", session_id=None).band for _ in range(40)]
    assert bands[-1] == "high"


def test_somebody_who_may_have_all_models_and_suddenly_takes_them_is_asked_who_it_is():
    """R83: measured against what the same person did before."""
    life = Life()
    for day in range(20):
        life.session(models=("m1", "m2") if not day else (), user_class="staff")
        life.wait(DAY)
    bands = [one.band for one in new_models(life, 10, 30, 2 * HOUR, user_class="staff")]
    assert bands[:8] == ["none"] * 8
    assert set(bands[10:]) == {"medium"}
    life.wait(60 * DAY)
    assert life.session(user_class="staff").band == "none"
    assert new_models(life, 50, 12, 2 * HOUR, user_class="staff")[-1].band == "medium", "nor is it usual since then"


def test_models_that_were_only_run_do_not_make_somebody_used_to_many():
    life = Life()
    for _ in range(20):
        life.session(user_class="staff")
        life.wait(DAY)
    for n in range(12):
        life.say("model_run", model=f"ran{n}", user_class="staff")
    assert new_models(life, 10, 12, 2 * HOUR, user_class="staff")[-1].band == "medium"


def test_a_colleague_with_a_new_model_every_day_is_left_alone():
    life = Life()
    assert {one.band for one in new_models(life, 0, 60, 24 * HOUR, user_class="staff")} == {"none"}


def test_a_tester_who_always_worked_with_many_models_is_left_alone():
    life = Life()
    for n in range(160):
        decision = life.session(models=(f"m{n * 7 % 40}",), user_class="staff")
        assert decision.band == "none"
        life.wait(5 * HOUR)


def test_a_tester_whose_list_was_once_full_within_a_week_is_never_surprising():
    life = Life()
    new_models(life, 100, 12, 4 * HOUR, user_class="staff")
    for _ in range(12):
        life.session(user_class="staff")
        life.wait(DAY)
    assert {one.band for one in new_models(life, 10, 12, HOUR, user_class="staff")} == {"none"}


def test_an_account_that_lives_in_many_homes_with_many_devices_is_medium():
    """All its devices were there in the first two days, so that no rule about new ones sees them."""
    life = Life()
    bands = set()
    for _ in range(12):
        for n in range(7):
            bands.add(life.session(key=f"home{n}", ip=f"192.0.{n}.7").band)
            life.wait(HOUR)
        life.wait(16 * HOUR)
    assert "medium" in bands
    assert "high" not in bands


def test_a_commuter_s_many_networks_are_no_evidence_by_themselves():
    life = Life()
    for day in range(30):
        for n in range(8):
            assert life.session(ip=f"192.0.{n}.7").score <= 500, day
            life.wait(2 * HOUR)


def test_a_fleet_set_up_from_one_image_is_left_alone():
    """One device id for all, a key and an install for each; and every night they are set up anew."""
    life = Life()
    for day in range(5):
        for n in range(20):
            told = {"device_id": "image", "app_install_id": f"i{n} {day}", "user_class": "fleet"}
            life.say("app_install", "shop", f"till{n}", **told)
            assert life.session("shop", f"till{n}", ("m1",), **told).band == "none"
        life.wait(DAY)


def test_one_id_in_use_with_many_keys_at_once_is_no_habit_of_staff():
    life = Life()
    for _ in range(4):
        for n in range(6):
            last = life.session(key=f"clone{n}", ip=f"192.0.{n}.7", device_id="one", user_class="staff")
        life.wait(12 * HOUR)
    assert last.band == "high"


def test_strange_devices_count_from_the_second_day_on():
    """E19: nobody makes a login theirs by bringing one device after another before it is two days old."""
    life = Life()
    life.say("app_install")
    life.session(models=("m1", "m2"))
    life.wait(28 * HOUR)
    bands = [life.session(key=f"n{n}", ip=f"203.0.{n}.7", models=(f"a{n}", f"b{n}")).band for n in range(8)]
    assert bands[1] == "none"
    assert bands[-1] == "high"


def test_a_thief_who_shows_the_victim_s_device_id_is_counted_all_the_same():
    life = Life()
    life.settle(days=6)
    bands = [life.session(key=f"n{n}", ip=f"203.0.{n}.7", device_id="id-k1").band for n in range(6)]
    assert bands[-1] == "high"


def test_a_laptop_at_work_on_the_second_day_is_left_alone():
    life = Life()
    life.say("app_install")
    life.session(models=("m1", "m2"))
    life.wait(30 * HOUR)
    laptop = {"key": "laptop", "ip": "198.51.100.4", "app_install_id": "i-laptop"}
    assert life.session(models=("m3", "m4", "m5"), **laptop).band == "none"


def test_reinstallers_are_not_excused_by_the_model_that_their_requests_name():
    """At the office every event of a request names the model, and few ask for an odd one."""
    life = Life()
    for n in range(150):
        life.session(f"u{n}", f"key{n}", ("m1",))
    bands = {n: [] for n in range(5)}
    for round_ in range(10):
        for n in range(5):
            told = {"app_install_id": f"again{n} {round_}", "model": "odd"}
            bands[n].append(life.say("app_install", f"u{n}", f"key{n}", **told).band)
        life.wait(4 * HOUR)
    assert all(found[-1] == "high" for found in bands.values())


def test_one_phone_that_is_reinstalled_again_and_again_on_a_carrier_s_networks_is_one_phone():
    life = Life()
    for day in range(28):
        told = {"device_id": "phone", "app_install_id": f"i{day // 4}"}
        for _ in range(2):
            assert life.session(key=f"k{day // 4}", ip=f"192.0.{day * 3 % 8}.7", **told).band == "none", day
            life.wait(12 * HOUR)


def test_who_loses_a_login_on_the_second_day_is_not_locked_out():
    """E19: the thief is a stranger already; the models it takes are not held against the user."""
    life = Life()
    life.say("app_install")
    for _ in range(4):
        life.session(models=("m1", "m2"))
        life.wait(7 * HOUR)
    thief = {"key": "thief", "ip": "203.0.113.9", "app_install_id": "i-thief"}
    for n in range(10, 18):
        last = life.session(models=(f"m{n}",), **thief)
        life.wait(20 * MINUTE)
    assert last.band == "high"
    assert life.session(models=("m1",)).band == "none"


def test_three_installs_with_new_keys_in_an_evening_away_from_home_are_left_alone():
    life = Life()
    life.settle(days=6)
    for n in range(3):
        told = {"ip": "198.51.100.4", "device_id": "id-k1", "app_install_id": f"again{n}"}
        life.say("app_install", key=f"k1 {n}", **told)
        assert life.session(key=f"k1 {n}", models=("m1",), **told).band == "none"
        life.wait(20 * MINUTE)
