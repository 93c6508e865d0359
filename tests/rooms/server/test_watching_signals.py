"""Each sign of misuse, made at a real office by requests alone: what the device said and did is enough to react.

The engine's own tests give it events. Here it gets what the server makes of enrolments, releases and refusals, so a
signal that the server never produces would be seen (docs/spec/protocol.md section 18).
"""

import pytest

from protocol_client import Bench, run
from watched_people import DAY, HOUR, Person, asked, place, rules_of, standing


def test_one_device_id_after_another_under_one_user() -> None:
    """R84: device ids that switch often: asked to sign in again, then stopped, the user too: its own band says so."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        await bench.customer("ada", "digits")
        ada, found = Person(bench), []
        for machine in range(12):
            bench.clock.advance(6 * HOUR)
            found.append(await asked(await ada.device(machine), signals={"install": f"{machine:022}"}))
        assert found[:4] == ["got"] * 4  # as many as people have
        assert "restricted" in found
        assert await rules_of(bench, "high") == {"device_switch"}
        assert await standing(bench, "ada") == "stopped"

    run(story)


def test_one_device_id_with_three_keys_at_once() -> None:
    """R85: identical device ids online at the same time: a machine's id that was copied."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        await bench.customer("ada", "digits")
        devices = [await Person(bench).device(7) for _ in range(3)]
        found = []
        for _ in range(4):
            bench.clock.advance(DAY)
            for number, device in enumerate(devices):
                place(bench, number)
                bench.clock.advance(60)
                found.append(await asked(device))
        assert found[0] == "got"
        assert found[-1] == "restricted"
        assert "device_clones" in await rules_of(bench, "high")

    run(story)


def test_the_same_model_again_and_again_in_a_session() -> None:
    """R86, R91: many downloads: sign in again before there are more; resumed ones, and one a day, are fine."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        device = await bench.device("ada", "digits")
        for _ in range(20):
            bench.clock.advance(30)
            assert await asked(device, signals={"resumed": 1}) == "got"
        for _ in range(5):
            bench.clock.advance(DAY)
            assert await asked(device) == "got"
        found = []
        for _ in range(30):
            bench.clock.advance(30)
            found.append(await asked(device))
        assert found[:5] == ["got"] * 5
        assert found[-1] == "step-up"
        assert await rules_of(bench, "medium") == {"burst"}

    run(story)


def test_many_sessions_of_a_user_at_once() -> None:
    """R87: devices that are known for weeks, used in many places within the same half hour."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        await bench.customer("ada", "digits")
        devices = [await Person(bench).device(machine) for machine in range(7)]
        bench.clock.advance(20 * DAY)
        found = []
        for _ in range(3):
            bench.clock.advance(DAY)
            for number, device in enumerate(devices):
                place(bench, number)
                bench.clock.advance(120)
                found.append(await asked(device))
        assert found[:3] == ["got"] * 3
        assert {*found} & {"step-up", "restricted"}
        assert "parallel" in await rules_of(bench, "medium")

    run(story)


@pytest.mark.parametrize("anew", ["memory", "device"])
def test_installed_again_and_again(anew: str) -> None:
    """R88: the same key with another install, or a new key on the same machine each time."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        await bench.customer("ada", "digits")
        device = await Person(bench).device()
        found = []
        for number in range(12):
            bench.clock.advance(4 * HOUR)
            if anew == "device":
                device = await Person(bench).device()
            found.append(await asked(device, signals={"install": f"{number:022}"}))
        assert found[:3] == ["got"] * 3
        assert "restricted" in found
        assert "reinstall" in await rules_of(bench, "high")

    run(story)


def test_one_key_with_many_faces() -> None:
    """A key that shows one machine after another: its keystore was copied, or lies in a farm."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        device = await bench.device("ada", "digits")
        found = []
        for machine in range(1, 9):
            bench.clock.advance(HOUR)
            found.append(await asked(device, device=device.facts(fingerprint=bytes([machine]) * 32)))
        assert found[:2] == ["got"] * 2
        assert found[-1] == "restricted"
        assert await rules_of(bench, "high") == {"device_ids"}
        assert await standing(bench, "ada") == "active"  # the key alone

    run(story)


def test_a_cloned_device_directory_in_two_places_at_once() -> None:
    """R85: one key, two machines, two networks, to and fro; the same machine on two networks is somebody on the way."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        cloned, traveller = await bench.device("ada", "digits"), await bench.device("bob", "digits")
        found = []
        for _ in range(12):
            bench.clock.advance(6 * HOUR)
            for turn in range(10):
                place(bench, turn % 2)
                bench.clock.advance(120)
                machine = cloned.facts(fingerprint=bytes([turn % 2]) * 32)
                found.append(await asked(cloned, device=machine, signals={"resumed": 1}))
                assert await asked(traveller, signals={"resumed": 1}) == "got"
        assert found[:3] == ["got"] * 3
        assert "step-up" in found
        assert found[-1] == "restricted"
        assert await rules_of(bench, "high") == {"device_replayed"}
        assert await standing(bench, "ada") == "active"  # the key alone

    run(story)


def test_who_changes_machines_begins_no_new_session() -> None:
    """R86: many downloads are counted on, whatever machine each of them is said to be for."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        device = await bench.device("ada", "digits")
        found = []
        for turn in range(40):
            bench.clock.advance(30)
            found.append(await asked(device, device=device.facts(fingerprint=bytes([turn % 3]) * 32)))
        assert found[-1] == "step-up"
        assert "burst" in await rules_of(bench, "medium")

    run(story)


def test_one_key_for_many_users() -> None:
    """Accounts are made by the dozen on one device: the office refuses each but the first, and remembers the key."""

    async def story(bench: Bench) -> None:
        await bench.publish()
        device = await bench.device("ada", "digits")
        found = []
        for number in range(8):
            bench.clock.advance(HOUR)
            device.user_token = await bench.customer(f"eve{number}", "digits")
            request = await device.enrol_request(device=device.facts(id=None))
            found.append((await device.try_enrol(request)).json()["code"])
        assert found == ["conflict"] * len(found)
        assert await asked(device) in {"step-up", "restricted"}
        assert {"key_shared", "puppets"} & await rules_of(bench, "medium")

    run(story)


def test_more_models_than_ever_before() -> None:
    """R83: breadth, against what the user did before; what is refused counts as well as what is given."""

    async def story(bench: Bench) -> None:
        names = [f"model-{number}" for number in range(9)]
        for name in names:
            await bench.publish(name)
        device = await bench.device("ada", *names)
        bench.clock.advance(5 * DAY)
        found = [await asked(device, name) for name in names]
        assert found[:4] == ["got"] * 4
        assert found[-1] == "restricted"
        prober = await bench.device("eve", "model-0")
        probed = [await asked(prober, f"guess-{number}") for number in range(12)]
        assert probed[:4] == ["not-found"] * 4
        assert probed[-1] == "restricted"

    run(story)


def test_who_is_entitled_to_many_models_may_ask_for_them() -> None:
    """R90: a model a day, each entitled to: nothing is held against it; without the right the same days add up."""

    async def story(bench: Bench) -> None:
        names = [f"model-{number}" for number in range(12)]
        for name in names:
            await bench.publish(name)
        ada, eve = await bench.device("ada", *names), await bench.device("eve", names[0])
        for name in names:
            bench.clock.advance(DAY)
            assert await asked(ada, name) == "got"
            await asked(eve, name)
        assert await asked(eve, names[0]) != "got"
        assert await standing(bench, "ada") == "active"

    run(story)
