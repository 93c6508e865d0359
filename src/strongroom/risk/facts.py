"""What a rule may ask about: the names of every fact, its kind, and what it means.

A rule's `when` and `times` are expressions over these names and over `allow_NAME`, the allowances of the user's
class. Facts are counted before the rule looks, and the event itself is part of every count.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from strongroom.risk.expression import Kind, Name

FLAG, NUMBER, TEXT = Kind.FLAG, Kind.NUMBER, Kind.TEXT

# name -> (kind, what it is and in which unit)
FACTS: Final[Mapping[str, tuple[Kind, str]]] = MappingProxyType({
    # the event
    "type": (TEXT, "the event's type"),
    "attestation": (TEXT, "the verdict on the device: pass, basic, fail or unavailable"),
    "app_sig": (TEXT, "the app's signature: ok, bad or unknown"),
    "root": (FLAG, "the device says that it is rooted"),
    "hard_tamper": (NUMBER, "how many of hook, debugger and emulator the device reports"),
    "resumed": (FLAG, "the download goes on where an earlier one stopped"),
    "honey": (FLAG, "a field that only bait shows was changed"),
    "activity": (NUMBER, "the store's device activity level, 1 to 4; 0 when unknown"),
    # the user
    "user_age": (NUMBER, "seconds since the user was first seen, in whole hours"),
    "fails_1h": (NUMBER, "failed logins of the user, none more than an hour after the one before"),
    "devices_30d": (NUMBER, "device keys that were new to the user within 30 days, at most 8"),
    "far_devices_30d": (NUMBER, "of these, the far ones"),
    "oneshots_30d": (NUMBER, "of these, those used within two hours of their first event only"),
    "replaced": (FLAG, "the device key is new to the user and bears an id that another key of the user's had"),
    "alive": (NUMBER, "device keys of the user with a session open and used within 45 minutes, at most 8"),
    "alive_places": (NUMBER, "different networks these device keys were last seen on"),
    "places": (NUMBER, "networks the user was on at two or more days, last within 14 days, at most 8"),
    "models_30d": (NUMBER, "models the user first asked for within 30 days, at most 10; far keys do not count"),
    "models_7d": (NUMBER, "of these, within 7 days"),
    "models_1d": (NUMBER, "of these, within 24 hours"),
    "models_wide": (FLAG, "the user once asked for more than 10 new models within 8 days, and was not at medium"),
    "model_new": (FLAG, "this event asks, not from a far key, for a model the user had not asked for"),
    "session_models": (NUMBER, "models in this session new to the user; one without an id ends after 45 minutes"),
    "downloads_same": (NUMBER, "whole fetches of this model in this session, this one included"),
    # the device key
    "key_age": (NUMBER, "seconds since the device key was first seen, in whole hours"),
    "key_new": (FLAG, "the user was never seen with this device key before"),
    "net_new": (FLAG, "the user was never seen on this network with a device that is not far"),
    "far": (FLAG, "the device key is new to a user who is not, and was only seen on networks new to the user"),
    "trusted": (FLAG, "the user passed a step-up on this device key within the trusted days"),
    "foreign_30d": (NUMBER, "models asked for by the far key, within 30 days, that the user had not, at most 10"),
    "foreign_1d": (NUMBER, "of these, within 24 hours"),
    "foreign_new": (FLAG, "this event asks, from a far key, for a model that neither it nor the user had asked for"),
    "ids_30d": (NUMBER, "device ids this key first showed within 30 days, at most 8"),
    "id_new": (FLAG, "the first time that this key shows this device id"),
    "users_30d": (NUMBER, "users first seen with this key within 30 days, at most 7"),
    "births_30d": (NUMBER, "of these, users never seen anywhere before this key"),
    "install_new": (FLAG, "the app was installed anew since the last event of this device"),
    "installs_2d": (NUMBER, "installs of the app on this device within 2 days, at most 8"),
    "installs_7d": (NUMBER, "installs of the app on this device within 7 days, at most 8"),
    "installs_30d": (NUMBER, "installs of the app on this device within 30 days, at most 8"),
    "attest_fails": (NUMBER, "failed attestations of this key, none passed between, retries within 10 minutes aside"),
    "outage": (FLAG, "more than 5 % of all devices' verdicts fail, of devices that passed before"),
    "turns": (NUMBER, "times the key went from a session on one network back to one on another; 0 if not now"),
    # the claimed device id
    "twin": (FLAG, "another key with this device id was used within 45 minutes, and both are older than 48 hours"),
    "twin_far": (FLAG, "as twin, and the two keys are on different networks"),
    "twins": (NUMBER, "keys with this device id, older than 6 hours, used within 45 minutes; at most 6"),
    "id_common": (FLAG, "more than two users bear this device id: it identifies nobody"),
})  # fmt: skip

NAMES: Final[Mapping[str, Name]] = MappingProxyType(
    {name: Name(kind, f"f.{name}") for name, (kind, _) in FACTS.items()}
)

ALLOWANCES: Final[Mapping[str, str]] = MappingProxyType({
    "devices": "new device keys in 30 days",
    "alive": "device keys with a session open at once",
    "places": "networks the user lives on",
    "models": "models in 30 days",
    "models_1d": "new models in a day",
    "session_models": "models in one session",
    "downloads": "whole fetches of one model in one session",
    "installs": "installs of the app on one device in 7 days",
    "ids": "device ids one key shows in 30 days",
    "users": "users one device key serves in 30 days",
    "tamper": "1: devices may be debugged, rooted, emulated and run builds of one's own",
})  # fmt: skip


class Facts:
    """The facts of one event; an object of slots, since one is filled for every event judged."""

    __slots__ = tuple(FACTS)

    type: str
    attestation: str
    app_sig: str
    root: bool
    hard_tamper: int
    resumed: bool
    honey: bool
    activity: int
    user_age: int
    fails_1h: int
    devices_30d: int
    far_devices_30d: int
    oneshots_30d: int
    replaced: bool
    alive: int
    alive_places: int
    places: int
    models_30d: int
    models_7d: int
    models_1d: int
    models_wide: bool
    model_new: bool
    session_models: int
    downloads_same: int
    key_age: int
    key_new: bool
    net_new: bool
    far: bool
    trusted: bool
    foreign_30d: int
    foreign_1d: int
    foreign_new: bool
    ids_30d: int
    id_new: bool
    users_30d: int
    births_30d: int
    install_new: bool
    installs_2d: int
    installs_7d: int
    installs_30d: int
    attest_fails: int
    outage: bool
    turns: int
    twin: bool
    twin_far: bool
    twins: int
    id_common: bool
