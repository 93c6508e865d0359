"""Limits: whose address it is, noise and shared addresses, quotas, classes of routes, and the settings for all."""

import asyncio
import ipaddress
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protocol_client import Bench, run
from strongroom.errors import Code, SetupError
from strongroom.server.initialise import init
from strongroom.server.limits.addresses import MOST_HOPS, address_of, counted, of_one_hand, read_networks
from strongroom.server.limits.memory import in_memory
from strongroom.server.limits.quota import DAY, RELEASES_PER_DAY, DailyQuota
from strongroom.server.limits.rates import DEFAULTS, MOST, By, Route, admin_route, device_route, read_rates, write_rates
from strongroom.server.limits.throttle import (
    FACTOR,
    KNOWN_SECONDS,
    MAX_SECONDS,
    NOISE_SECONDS,
    SHARED,
    AddressThrottle,
)
from strongroom.server.settings import Settings, load
from strongroom.server.wiring import open_office

NOW = 1_800_000_000
PROXIES = read_networks("10.0.0.0/8, fd00::/8")


@pytest.mark.parametrize(
    ("peer", "said", "found"),
    [
        ("203.0.113.7", [], "203.0.113.7"),
        ("203.0.113.7", ["198.51.100.1"], "203.0.113.7"),  # nobody's word but a proxy's
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["192.0.2.66, 198.51.100.1"], "198.51.100.1"),  # what is further left, the client wrote itself
        ("10.0.0.1", ["192.0.2.66", "198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["192.0.2.66, 198.51.100.1, 10.9.9.9"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1, fd00::1,10.2.2.2"], "198.51.100.1"),
        ("10.0.0.1", ["10.3.3.3, 10.2.2.2"], "10.3.3.3"),
        ("10.0.0.1", ["198.51.100.1, nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1, nonsense, 10.2.2.2"], "10.2.2.2"),
        ("10.0.0.1", ["198.51.100.1,"], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1:4711"], "198.51.100.1"),
        ("10.0.0.1", ["[2001:db8::1]:4711"], "2001:db8::1"),
        ("10.0.0.1", ["2001:DB8:0::1"], "2001:db8::1"),
        ("10.0.0.1", ["::ffff:198.51.100.1"], "198.51.100.1"),
        ("::ffff:10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("fd00::1%eth0", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["0198.051.100.001"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1, " + ", ".join(["10.1.1.1"] * (MOST_HOPS + 1))], "10.1.1.1"),
        ("", ["198.51.100.1"], ""),
        ("testclient", ["198.51.100.1"], ""),
    ],
)
def test_whose_address(peer, said, found):
    """E19: the right-most hop that is no proxy of ours."""
    assert address_of(peer, said, PROXIES) == found


@given(st.sampled_from(["203.0.113.7", "2001:db8::7"]), st.lists(st.text(max_size=60)))
def test_without_a_proxy_no_header_matters(peer, said):
    assert address_of(peer, said, PROXIES) == address_of(peer, said, ()) == peer


@given(st.lists(st.text(alphabet="0123456789abcdef:.,[]% \t\x00\xff", max_size=60) | st.text(max_size=60)))
@example(["9" * 30_000])
@example([",".join(["1.1.1.1"] * 4000)])
@example(["1.1.1.1%\x00", "[]", "::%", "[:::]:1"])
def test_no_header_crashes_and_what_is_found_is_an_address(said):
    """E19: whatever a proxy passes on."""
    found = address_of("10.0.0.1", said, PROXIES)
    assert str(ipaddress.ip_address(found)) == found
    assert counted(found) == of_one_hand(found)


def test_what_is_no_address_is_counted_together():
    assert {counted(one) for one in ("", "testclient", "/run/socket", "1.2.3", "x" * 10_000)} == {""}
    assert counted("2001:db8::1") == counted("2001:db8::2") == "2001:db8::/64"


def test_networks_are_read_or_refused():
    assert read_networks("") == ()
    assert [str(one) for one in read_networks(" 10.0.0.0/8,fd00::/8  192.0.2.1 ")] == [
        "10.0.0.0/8",
        "fd00::/8",
        "192.0.2.1/32",
    ]
    for text in ("10.0.0.1/8", "10.0.0.0/33", "proxy.example", "*", "10.0.0.0 / 8"):
        with pytest.raises(ValueError):  # noqa: PT011 - what is said is pydantic's to hide
            read_networks(text)


def test_noise_slows_for_minutes_and_never_longer():
    throttle = AddressThrottle()
    assert throttle.factor("a", NOW) == 1.0
    assert throttle.noise("a", NOW)
    assert (throttle.factor("a", NOW), throttle.factor("b", NOW)) == (FACTOR, 1.0)
    assert throttle.factor("a", NOW + NOISE_SECONDS - 1) == FACTOR
    assert throttle.factor("a", NOW + NOISE_SECONDS) == 1.0
    for _ in range(1000):
        throttle.noise("a", NOW)
        throttle.slow("a", 10**9, 0, NOW)
    assert throttle.factor("a", NOW + MAX_SECONDS - 1) == FACTOR
    assert throttle.factor("a", NOW + MAX_SECONDS) == 1.0
    assert throttle.factor("a", NOW - 86_400) == 1.0, "a clock set back makes no long sentence"
    throttle.slow("a", -5, 0, NOW + MAX_SECONDS)
    assert throttle.factor("a", NOW + MAX_SECONDS) == 1.0


def test_an_address_that_known_users_share_is_never_slow():
    """H06: one of them, or a guest, cannot slow the others down; and it need not be known beforehand."""
    throttle = AddressThrottle()
    for number in range(SHARED):
        throttle.saw("a", f"usr_{number}", NOW)
        throttle.saw("a", f"usr_{number}", NOW)
    assert throttle.known_users("a", NOW) == SHARED
    assert throttle.noise("a", NOW)
    throttle.saw("a", "usr_one_more", NOW + 1)
    assert throttle.factor("a", NOW + 1) == 1.0
    assert not throttle.noise("a", NOW + 1)
    assert throttle.known_users("a", NOW + KNOWN_SECONDS) == 1
    assert throttle.noise("a", NOW + KNOWN_SECONDS)
    for number in range(50):
        throttle.saw("b", f"usr_{number}", NOW)
    assert throttle.known_users("b", NOW) == SHARED + 1


def test_noisy_addresses_fill_nothing():
    throttle = AddressThrottle(addresses=100)
    assert sum(throttle.noise(str(number), NOW) for number in range(5000)) == 100
    assert throttle.noise("one more", NOW + MAX_SECONDS)
    for number in range(5000):
        throttle.saw(str(number), "usr", NOW)
    assert len(throttle._slow) + len(throttle._users) <= 101


def test_a_quota_ends_at_midnight():
    quota = DailyQuota(3)
    midnight = NOW // DAY * DAY
    assert [quota.take("x", midnight + 60) for _ in range(5)] == [0, 0, 0, DAY - 60, DAY - 60]
    assert quota.take("y", midnight + 60) == 0
    assert quota.take("x", midnight + DAY - 1) == 1
    assert quota.take("x", midnight + DAY) == 0


def test_every_route_has_its_class():
    """R61: paths come from the apps themselves, so that a new one is thought of here too."""

    async def story(bench: Bench):
        answer = [
            await one.request("GET", f"{base}/openapi.json")
            for one, base in ((bench.devices, "https://rooms.test:8443"), (bench.desk, "https://rooms.test:8444"))
        ]
        return [
            [
                (method.upper(), re.sub(r"\{[a-z_]+\}", "x", path))
                for path, all_ in one.json()["paths"].items()
                for method in all_
            ]
            for one in answer
        ]

    devices, desk = run(story)
    assert {(path, device_route(method, path)) for method, path in devices} >= {
        ("/v1/challenges", Route.CHALLENGE),
        ("/v1/devices", Route.ENROL),
        ("/v1/activations", Route.ENROL),
        ("/v1/releases", Route.RELEASE),
        ("/v1/releases/x/urls", Route.URLS),
        ("/v1/leases/x/renew", Route.RENEW),
        ("/v1/orders/x/receipt", Route.RECEIPT),
        ("/v1/trust", Route.PUBLIC),
        ("/healthz", Route.PUBLIC),
    }
    assert device_route("GET", "/o/x") == device_route("PUT", "/o/x") == Route.OBJECT
    assert {device_route("POST", path) for path in ("/v1/keys/export", "/", "/v2/trust", "/v1/")} == {Route.RELEASE}
    kinds = {method: {admin_route(method, path) for m, path in desk if m == method} for method, _ in desk}
    assert kinds["POST"] == kinds["DELETE"] == {Route.ADMIN_WRITE}
    assert kinds["GET"] == {Route.ADMIN_READ, Route.PUBLIC}


def test_rates_are_read_as_they_are_written():
    for route, kinds in DEFAULTS.items():
        assert read_rates(route, write_rates(route)) == kinds
    assert read_rates(Route.RELEASE, " device 5 ,address 7") == {**DEFAULTS[Route.RELEASE], By.DEVICE: 5, By.ADDRESS: 7}


@pytest.mark.parametrize(
    "text",
    [
        "", ",", "device", "device 0", f"device {MOST + 1}", "device 5, device 6", "device -5", "device 5.0",
        "devise 5", "device 5;", "device 5 user 6", "device \u0665", "DEVICE 5", "device 9999999999",
    ],
)  # fmt: skip
def test_a_rate_that_is_none_is_named_with_its_line(tmp_path, text):
    (tmp_path / "strongroom.toml").write_text(f'url_seconds = 9\nrate_release = "{text}"\n')
    with pytest.raises(SetupError) as caught:
        load(tmp_path)
    assert caught.value.code == Code.CONFIG
    assert caught.value.where.endswith("strongroom.toml line 2")
    assert caught.value.what.startswith("rate_release is not requests a minute, 1 to 1000000, for any of address, user")


@pytest.mark.parametrize("text", ["10.0.0.1/8", "proxy.example"])
def test_a_network_that_is_none_is_named_with_its_line(tmp_path, text):
    (tmp_path / "strongroom.toml").write_text(f'trusted_proxies = "{text}"\n')
    with pytest.raises(SetupError, match="trusted_proxies is not text of networks between blanks") as caught:
        load(tmp_path)
    assert caught.value.where.endswith("strongroom.toml line 1")


def test_no_class_of_routes_is_without_a_setting():
    assert {f"rate_{route}" for route in Route} <= Settings.model_fields.keys()
    assert set(DEFAULTS) == set(Route)
    assert all(By.ADDRESS in kinds for kinds in DEFAULTS.values())


def test_an_office_keeps_to_its_settings(tmp_path):
    room = init(tmp_path / "room", now=NOW).directory
    lines = [
        'rate_renew = "device 2"',
        'trusted_proxies = "10.0.0.0/8"',
        "releases_per_day_per_account = 1",
        (room / "strongroom.toml").read_text(),
    ]
    (room / "strongroom.toml").write_text("\n".join(lines))
    office = open_office(load(room), now=lambda: NOW)

    async def story():
        keys = {By.DEVICE: "a"}
        assert [await office.limits.allow(Route.RENEW, keys) for _ in range(3)] == [0, 0, 30]
        assert await office.limits.allow(Route.RELEASE, keys) == 0
        await office.ledger.close()

    asyncio.run(story())
    assert office.limits.address_of("10.0.0.1", ["192.0.2.1"]) == "192.0.2.1"
    assert [office.limits.releases.take("x", NOW) > 0 for _ in range(2)] == [False, True]
    assert in_memory(lambda: NOW).releases._most == RELEASES_PER_DAY
