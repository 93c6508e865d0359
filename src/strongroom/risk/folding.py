"""Fold an event into the states it concerns, and say what it means as facts.

Every count includes the event itself. A failed login proves nothing about who sent it, so it moves one counter of the
user and no more: nobody fills another user's lists with devices or networks.
"""

from typing import Final

from strongroom.risk.bands import NONE
from strongroom.risk.entities import tag
from strongroom.risk.events import Event, network
from strongroom.risk.facts import Facts
from strongroom.risk.state import IdState, KeyState, UserState, forget
from strongroom.risk.state_key import DOWNLOADS, FOREIGN, IDS, INSTALLS, PAIR_BORN, PAIR_FAR, USERS
from strongroom.risk.state_shared import BEARERS, TWINS
from strongroom.risk.state_user import FAR, KEYS, MODELS, NETS, OPEN, OWN, RAN

MONTH: Final = 720  # hours
FORTNIGHT: Final = 336  # hours
WEEK: Final = 168  # hours
WIDE: Final = 192  # hours in which somebody who works with many models asks for more than are remembered
GRACE: Final = 48  # hours in which an old phone and the one restored from it may both be on
FAR_AGE: Final = 24  # hours after which a user has places of their own
UPDATE: Final = 72  # hours between an install and an update that is not counted as another
TRIED: Final = 6  # hours in which a phone may be restored, and restored again
ALIVE: Final = 45  # minutes
TURN: Final = 20  # minutes between two networks that one key is on, so that nobody can have travelled

ASKS: Final = frozenset({"key_request", "model_download"})
RUNS: Final = frozenset({"model_run", "lease_renew"})
INSTALLED: Final = frozenset({"app_install", "login", "session_start"})
HARD: Final = frozenset({"hook", "debugger", "emulator"})


def fold_failed_login(user: UserState, minutes: int) -> None:
    """Count one failed login."""
    user.fails = 1 if minutes - user.fail > 60 else min(255, user.fails + 1)
    user.fail = minutes


def fold(event: Event, minutes: int, user: UserState | None, key: KeyState | None, claimed: IdState | None) -> Facts:
    """Fold an event into the states of its user, its device key and its claimed device id.

    `Facts.outage` is left for `verdicts.fold_verdict`.
    """
    f = Facts()
    hours = minutes // 60
    net = tag(network(event.ip)) & 0xFFFF
    f.type = event.type
    f.attestation = event.attestation
    f.app_sig = event.app_sig
    tamper = event.tamper
    f.root = "root" in tamper
    f.hard_tamper = len(HARD.intersection(tamper)) if tamper else 0
    f.resumed = event.resumed
    f.honey = event.honey
    f.activity = event.activity or 0
    f.outage = f.model_new = f.foreign_new = False
    f.downloads_same = 0
    far = False
    if user is not None:
        far = _fold_user(f, event, hours, minutes, net, user, key)
    else:
        f.key_new = f.net_new = f.far = f.trusted = False
        f.user_age = f.fails_1h = f.devices_30d = f.far_devices_30d = f.oneshots_30d = 0
        f.alive = f.alive_places = f.places = f.models_30d = f.models_7d = f.models_1d = 0
        f.models_wide = False
    if claimed is not None:
        _fold_id(f, event, hours, minutes, net, claimed)
    else:
        f.replaced = f.twin = f.twin_far = f.id_common = False
        f.twins = 0
    if key is not None:
        _fold_session(f, event, minutes, net, key)
        _fold_key(f, event, hours, user, key, far=far)
    else:
        f.key_age = f.foreign_30d = f.foreign_1d = f.ids_30d = f.users_30d = f.births_30d = f.session_models = 0
        f.attest_fails = f.turns = 0
        f.id_new = False
    _fold_install(f, event, hours, key, claimed)
    return f


def _fold_user(
    f: Facts, event: Event, hours: int, minutes: int, net: int, user: UserState, key: KeyState | None
) -> bool:
    """Fold user, device key and network together; return whether the key is far."""
    kind = event.type
    f.user_age = (hours - user.born // 60) * 3600
    f.fails_1h = user.fails if user.fails and minutes - user.fail <= 60 else 0
    place = user.nets.get(net)
    own = place is not None and place[1] >= OWN
    f.net_new = not own
    f.devices_30d = f.far_devices_30d = f.oneshots_30d = f.alive = f.alive_places = 0
    far = f.key_new = f.trusted = False
    if key is not None:
        device, far = _fold_pair(f, event, hours, minutes, user, key, own=own)
        device[1] = max(device[1], minutes)
        device[2] = net
        if kind == "session_start":
            device[3] |= OPEN
        elif kind == "session_end":
            device[3] &= ~OPEN
        if f.key_new or kind == "session_start":
            _count_devices(f, hours, minutes, user)
    f.far = far
    _fold_place(hours, net, user, place, far=far)
    f.places = 0
    if kind == "session_start" and len(user.nets) > 3:
        since = hours - FORTNIGHT
        f.places = sum(1 for last, days in user.nets.values() if days & 0x7F > 1 and last >= since)
    f.models_30d = f.models_7d = f.models_1d = 0
    f.models_wide = False
    if event.model is not None and not far:
        if kind in ASKS:
            _count_models(f, event.model, hours, user)
        elif kind in RUNS:
            _note_run(event.model, hours, user)
    return far


def _fold_pair(
    f: Facts, event: Event, hours: int, minutes: int, user: UserState, key: KeyState, *, own: bool
) -> tuple[list[int], bool]:
    """Fold a user and a device key together; return the user's entry of the key, and whether it is far."""
    key_tag = tag(event.device_key or "~" + (event.device_id or ""))
    user_tag = tag(event.user_id or "")
    pair = key.users.get(user_tag)
    device = user.keys.get(key_tag)
    far = False
    if pair is None:
        f.key_new = True
        old = hours - user.born // 60 > FAR_AGE and bool(user.nets)
        far = not own and old and event.user_class == "user"
        forget(key.users, USERS)
        born = PAIR_BORN if user.born == minutes and not user.keys else 0
        key.users[user_tag] = pair = [hours, born | (PAIR_FAR if far else 0), 0]
    elif pair[1] & PAIR_FAR:
        far = not own and hours - pair[0] <= MONTH and pair[2] <= hours
        if not far:  # the device came home, or stayed so long that nobody is surprised
            pair[1] &= ~PAIR_FAR
            if device is not None:
                device[3] &= ~FAR
    f.trusted = pair[2] > hours
    if device is None:
        forget(user.keys, KEYS)
        user.keys[key_tag] = device = [pair[0], minutes, 0, FAR if far else 0]
    return device, far


def _fold_place(hours: int, net: int, user: UserState, place: list[int] | None, *, far: bool) -> None:
    nets = user.nets
    if place is None:
        if len(nets) >= NETS:
            del nets[min(nets, key=lambda known: (nets[known][1], nets[known][0]))]
        nets[net] = [hours, 1 if far else 1 | OWN]
        return
    if hours // 24 != place[0] // 24 and place[1] & 0x7F < 0x7F:
        place[1] += 1
    place[0] = max(place[0], hours)
    if not far:
        place[1] |= OWN


def _count_devices(f: Facts, hours: int, minutes: int, user: UserState) -> None:
    month = hours - MONTH
    recent = far = oneshots = alive = 0
    places = set()
    for first, last, net, flags in user.keys.values():
        if first >= month:
            recent += 1
            if flags & FAR:
                far += 1
            if last - first * 60 < 180:  # `first` is a whole hour: two to three hours
                oneshots += 1
        if flags & OPEN and minutes - last <= ALIVE:
            alive += 1
            places.add(net)
    f.devices_30d = recent
    f.far_devices_30d = far
    f.oneshots_30d = oneshots
    f.alive = alive
    f.alive_places = len(places)


def _count_models(f: Facts, model: str, hours: int, user: UserState) -> None:
    models = user.models
    model_tag = tag(model) & ~RAN & 0xFFFF
    if model_tag not in models:
        f.model_new = True
        models.pop(model_tag | RAN, None)
        if _is_wide(user, hours):
            user.wide = True
        forget(models, MODELS)
        models[model_tag] = hours
    f.models_wide = user.wide
    asked = [first for known, first in models.items() if not known & RAN]
    f.models_30d = sum(1 for first in asked if first >= hours - MONTH)
    f.models_7d = sum(1 for first in asked if first >= hours - WEEK)
    f.models_1d = sum(1 for first in asked if first >= hours - 24)


def _is_wide(user: UserState, hours: int) -> bool:
    """Say whether one model more is more than are remembered, all of days; who is suspected shows nothing by it."""
    models = user.models
    return (
        len(models) >= MODELS
        and user.band == NONE
        and min(models.values()) > hours - WIDE
        and not any(known & RAN for known in models)
    )


def _note_run(model: str, hours: int, user: UserState) -> None:
    """Note a model that the user runs and was never seen to ask for: a stranger on their login does not bring it."""
    models = user.models
    model_tag = tag(model) & ~RAN & 0xFFFF
    if model_tag not in models and len(models) < MODELS:
        models.setdefault(model_tag | RAN, hours)


def _fold_key(f: Facts, event: Event, hours: int, user: UserState | None, key: KeyState, *, far: bool) -> None:
    f.key_age = (hours - key.born // 60) * 3600
    f.attest_fails = key.fails
    month = hours - MONTH
    _fold_claim(f, event, hours, key)
    users = key.users
    if len(users) > 1:
        f.users_30d = sum(1 for pair in users.values() if pair[0] >= month)
        f.births_30d = sum(1 for pair in users.values() if pair[0] >= month and pair[1] & PAIR_BORN)
    else:
        f.users_30d = f.births_30d = len(users)
    f.foreign_30d = f.foreign_1d = 0
    if event.model is not None and event.type in ASKS:
        model_tag = tag(event.model) & ~RAN & 0xFFFF
        if far and user is not None:
            _fold_foreign(f, model_tag, hours, user, key)
        if (f.model_new or f.foreign_new) and key.fresh < 255:
            key.fresh += 1
        if event.type == "model_download":
            _fold_download(f, event, model_tag, key)
    f.session_models = key.fresh


def _fold_session(f: Facts, event: Event, minutes: int, net: int, key: KeyState) -> None:
    """Count how often the key turns from a session on one network back to a session on another.

    Who travels begins a new session or takes the old one along; only two holders of one key go to and fro.
    """
    f.turns = 0
    if event.session_id is None:
        if not key.session:  # never one: what a pause ends is a session
            if event.type == "session_start" or minutes - key.here[1] > ALIVE:
                key.fresh = 0
                key.downloads.clear()
            key.here = (net, max(minutes, key.here[1]))
        return
    session = tag(event.session_id) & 0xFFFF
    if session != key.session:
        beside, key.beside = key.beside, (key.session, *key.here)
        if session == beside[0]:
            if (
                net == beside[1]
                and net != key.here[0]
                and minutes - beside[2] <= ALIVE
                and minutes - key.here[1] <= TURN
            ):
                f.turns = key.turns = min(255, key.turns + 1)
        else:
            if minutes - key.here[1] > ALIVE:
                key.turns = 0
            key.fresh = 0
            key.downloads.clear()
        key.session = session
    key.here = (net, max(minutes, key.here[1]))


def _fold_claim(f: Facts, event: Event, hours: int, key: KeyState) -> None:
    f.id_new = False
    f.ids_30d = 0
    if event.device_id is None:
        return
    ids = key.ids
    id_tag = tag(event.device_id) & 0xFFFF
    if id_tag not in ids:
        f.id_new = True
        forget(ids, IDS)
        ids[id_tag] = hours
    f.ids_30d = 1 if len(ids) == 1 else sum(1 for first in ids.values() if first >= hours - MONTH)


def _fold_foreign(f: Facts, model_tag: int, hours: int, user: UserState, key: KeyState) -> None:
    foreign = key.foreign
    if model_tag not in user.models and model_tag | RAN not in user.models and model_tag not in foreign:
        f.foreign_new = True
        forget(foreign, FOREIGN)
        foreign[model_tag] = hours
    f.foreign_30d = sum(1 for first in foreign.values() if first >= hours - MONTH)
    f.foreign_1d = sum(1 for first in foreign.values() if first >= hours - 24)


def _fold_download(f: Facts, event: Event, model_tag: int, key: KeyState) -> None:
    downloads = key.downloads
    full = downloads.get(model_tag)
    if full is None:
        forget(downloads, DOWNLOADS)
        full = 0
    if not event.resumed:
        full = min(255, full + 1)
        f.downloads_same = full
    downloads[model_tag] = full


def _fold_id(f: Facts, event: Event, hours: int, minutes: int, net: int, claimed: IdState) -> None:
    user_tag = tag(event.user_id) if event.user_id is not None else 0
    bearers = claimed.users
    if event.user_id is not None and user_tag not in bearers and len(bearers) < BEARERS:
        bearers.append(user_tag)
    f.id_common = common = len(bearers) > 2
    f.replaced = f.twin = f.twin_far = False
    f.twins = 0
    if event.device_key is None or event.user_id is None:
        return
    key_tag = tag(event.device_key)
    keys = claimed.keys
    entry = keys.get(key_tag)
    if entry is None:
        f.replaced = f.key_new and not common and any(known[0] == user_tag for known in keys.values())
        forget(keys, TWINS)
        keys[key_tag] = entry = [user_tag, hours, minutes, net]
    else:
        entry[2] = minutes
        entry[3] = net
    if len(keys) < 2 or common:
        return
    for known_tag, (owner, first, last, place) in keys.items():
        if minutes - last > ALIVE or owner != user_tag:
            continue  # the same id with another user is a vendor's mistake, and nobody's twin
        if hours - first > TRIED:
            f.twins += 1
        if known_tag != key_tag and hours - max(first, entry[1]) > GRACE:
            f.twin = True
            if place != net:
                f.twin_far = True


def _fold_install(f: Facts, event: Event, hours: int, key: KeyState | None, claimed: IdState | None) -> None:
    """Count installs by the key and by the claimed id: a reinstall may bring a new key."""
    f.install_new = False
    f.installs_2d = f.installs_7d = f.installs_30d = 0
    name = event.app_install_id
    if name is None and event.type != "app_install":
        return
    install = (tag(name) & 0xFFFF or 1) if name is not None else 0
    lists = [state.installs for state in (key, None if f.id_common else claimed) if state is not None]
    if key is not None and (not install or install not in key.install):
        key.install = (install, key.install[0])
        f.install_new = not _is_update(event, hours, key)
        for times in lists if f.install_new else ():
            times.append(hours)
            if len(times) > INSTALLS:
                del times[0]
    if event.type in INSTALLED and any(len(times) > 1 for times in lists):
        f.installs_2d = max(sum(1 for at in times if at >= hours - 48) for times in lists)
        f.installs_7d = max(sum(1 for at in times if at >= hours - 168) for times in lists)
        f.installs_30d = max(sum(1 for at in times if at >= hours - MONTH) for times in lists)


def _is_update(event: Event, hours: int, key: KeyState) -> bool:
    """Say whether an install brought another build, days after the last one: an update, not a reinstall."""
    if event.type != "app_install" or event.ver is None:
        return False
    before, key.build = key.build, tag(event.ver) & 0xFFFF or 1
    return before not in (0, key.build) and hours - max(key.installs, default=0) > UPDATE
