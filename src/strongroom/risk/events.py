"""One event as the engine judges it, and the reader of its JSON form."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Any, Final, NamedTuple

from strongroom.errors import Code, InputError

TYPES: Final = frozenset({
    "app_install", "login", "login_fail", "session_start", "attest", "key_request", "model_download", "model_run",
    "lease_renew", "session_end", "honeypot",
})  # fmt: skip
CLASSES: Final = frozenset({"user", "fleet", "staff"})
ATTESTATIONS: Final = frozenset({"pass", "basic", "fail", "unavailable"})
SIGNATURES: Final = frozenset({"ok", "bad", "unknown"})
TAMPER: Final = frozenset({"root", "hook", "debugger", "emulator"})
MAX_TEXT: Final = 256  # characters of a name
MAX_TS: Final = 1 << 33  # seconds since the epoch: the year 2242

_NOTHING: Final[tuple[str, ...]] = ()


class Event(NamedTuple):
    """What happened, to whom, from where. A tuple, since one is made for every line of a replay."""

    event_id: str
    ts: int  # seconds since the epoch
    type: str  # one of TYPES
    user_id: str | None = None
    user_class: str = "user"
    device_id: str | None = None  # what the device calls itself
    device_key: str | None = None  # what it can prove
    session_id: str | None = None
    app_install_id: str | None = None
    ip: str | None = None
    model: str | None = None
    ver: str | None = None
    attestation: str = "unavailable"
    app_sig: str = "unknown"
    tamper: tuple[str, ...] = ()
    decoy: str | None = None
    resumed: bool = False
    honey: bool = False  # a honey field was changed
    activity: int | None = None  # the store's device activity level, 1 to 4
    entitled: int | None = None  # how many models the user may have

    def to_value(self) -> dict[str, Any]:
        """Return the JSON form; what only strongroom's own server knows is left out where it says nothing."""
        value: dict[str, Any] = self._asdict()
        value["tamper"] = list(self.tamper)
        for name in ("honey", "activity", "entitled"):
            if not value[name]:
                del value[name]
        return value


def read_event(value: object) -> Event:
    """Check the JSON form of an event; fields that are missing or null say nothing, unknown ones are ignored.

    Raises:
        InputError: SHAPE, `where` names the field.
    """
    if not isinstance(value, dict):
        raise _wrong("event", "an object")
    get = value.get
    ts = get("ts")
    if type(ts) is float:
        ts = int(ts) if 0 <= ts < MAX_TS else -1  # NaN is not at least 0
    if type(ts) is not int or not 0 <= ts < MAX_TS:
        raise _wrong("ts", "seconds since the epoch")
    event_id = get("event_id")
    if type(event_id) is not str or not 0 < len(event_id) <= MAX_TEXT:
        raise _wrong("event_id", f"text of 1 to {MAX_TEXT} characters")
    what = get("type")
    if type(what) is not str or what not in TYPES:
        raise _wrong("type", f"one of {', '.join(sorted(TYPES))}")
    user, device, key, session = get("user_id"), get("device_id"), get("device_key"), get("session_id")
    install, ip, model, ver, decoy = get("app_install_id"), get("ip"), get("model"), get("ver"), get("decoy")
    if type(ver) is int and abs(ver) < MAX_TS:
        ver = str(ver)  # builds and versions are counted by many
    for text in (user, device, key, session, install, ip, model, ver):
        if text is not None and (type(text) is not str or len(text) > MAX_TEXT):
            raise _not_text(get)
    if decoy is not None and type(decoy) is not str:
        decoy = "yes" if _flag(get, "decoy") else None
    tamper = get("tamper")
    return Event(
        event_id,
        ts,
        what,
        user or None,
        _word(get, "user_class", "user", CLASSES),
        device or None,
        key or None,
        session,
        install or None,
        ip,
        model or None,
        ver,
        _word(get, "attestation", "unavailable", ATTESTATIONS),
        _word(get, "app_sig", "unknown", SIGNATURES),
        _tamper(tamper) if tamper else _NOTHING,
        decoy or None,
        _flag(get, "resumed"),
        _flag(get, "honey"),
        _count(get, "activity", 4),
        _count(get, "entitled", 1_000_000),
    )


def _word(get: Callable[[str], Any], name: str, silent: str, known: frozenset[str]) -> str:
    word = get(name)
    if word is None:
        return silent
    if type(word) is not str or word not in known:
        raise _wrong(name, f"one of {', '.join(sorted(known))}")
    return word


def _flag(get: Callable[[str], Any], name: str) -> bool:
    flag = get(name)
    if flag is None or flag is False:
        return False
    if flag is True:
        return True
    if type(flag) is int and flag in (0, 1):
        return flag == 1
    raise _wrong(name, "true or false")


def _count(get: Callable[[str], Any], name: str, most: int) -> int | None:
    count = get(name)
    if count is None:
        return None
    if type(count) is not int or not 0 <= count <= most:
        raise _wrong(name, f"an integer from 0 to {most}")
    return count


def _tamper(value: object) -> tuple[str, ...]:
    if type(value) is not list or len(value) > 32 or not all(type(word) is str for word in value):
        raise _wrong("tamper", "a list of words")
    return tuple(sorted(TAMPER.intersection(value)))


def _not_text(get: Callable[[str], Any]) -> InputError:
    for name in ("user_id", "device_id", "device_key", "session_id", "app_install_id", "ip", "model", "ver"):
        text = get(name)
        if text is not None and (type(text) is not str or len(text) > MAX_TEXT):
            break
    return _wrong(name, f"text of at most {MAX_TEXT} characters, or null")


def _wrong(name: str, wanted: str) -> InputError:
    return InputError(Code.SHAPE, f"not an event: expected {wanted}", where=name)


@lru_cache(maxsize=65536)
def network(ip: str | None) -> str:
    """Return the network an address belongs to: /24, or /48 of IPv6; "" for what is no address."""
    if not ip:
        return ""
    try:
        address = ip_address(ip)
    except ValueError:
        return ""
    mapped = getattr(address, "ipv4_mapped", None)
    if mapped is not None:
        address = mapped
    return str(ip_network((address, 24 if address.version == 4 else 48), strict=False))


def event_id_of(value: object) -> str:
    """Return the id of what may be no event at all, or ""."""
    if isinstance(value, Mapping):
        name = value.get("event_id")
        if isinstance(name, str) and len(name) <= MAX_TEXT:
            return name
    return ""
