"""Judge an event, look at where somebody stands, take a passed step-up or an operator's word into account.

Pure: states come in a mapping and are changed in it, time is in the event or an argument. Online and in a replay it is
the same code, so a recording judged again gives the same decisions.
"""

from collections.abc import Mapping, Sequence
from typing import cast

from strongroom.risk.bands import NAMES, STOP
from strongroom.risk.decision import Decision, Moved, Points, Stop
from strongroom.risk.entities import EVERYTHING, Entity, Kind, app_build, model_build, tag
from strongroom.risk.events import Event
from strongroom.risk.plan import Plan, plan
from strongroom.risk.rules import Rules, Snooze
from strongroom.risk.score import lessen, points
from strongroom.risk.state import Bearer, KeyState, State, UserState
from strongroom.risk.state_key import PAIR_FAR
from strongroom.risk.state_user import FAR
from strongroom.risk.stops import BIT, WHY, WORDS
from strongroom.risk.weighing import States, Weighing, key_name, weigh


def entities(event: Event) -> tuple[Entity, ...]:
    """Return every entity whose state judging the event may need or change."""
    found = [EVERYTHING, app_build(event.ver)]
    if event.model is not None:
        found.append(model_build(event.model, event.ver))
    if event.user_id is not None:
        found.append(Entity(Kind.USER, event.user_id))
    name = key_name(event)
    if name is not None:
        found.append(Entity(Kind.KEY, name))
    if event.device_id is not None:
        found.append(Entity(Kind.ID, event.device_id))
    return tuple(found)


def judge(rules: Rules, event: Event, states: States, *, snoozes: Sequence[Snooze] = ()) -> Decision:
    """Judge one event and move the states it concerns; states that are missing are made.

    Args:
        rules: in force.
        event: what happened; `Intake` said that it is to be judged.
        states: at least those of `entities(event)` that exist.
        snoozes: more than the rules themselves name.
    """
    ready = plan(rules)
    weighed = weigh(ready, event, states, snoozes)
    return decided(ready, event.event_id, event.user_id, key_name(event), event.ts // 60, weighed)


def standing(rules: Rules, user: str | None, key: str | None, now: int, states: Mapping[Entity, State]) -> Decision:
    """Return the reaction in force for a user and a device key; nothing moves."""
    ready = plan(rules)
    weighed = look(ready, user, key, now, cast("States", states))
    return decided(ready, "", user, key, now // 60, weighed)


def look(ready: Plan, user: str | None, key: str | None, now: int, states: States) -> Weighing:
    """Weigh without an event, as `standing`."""
    weighing = Weighing(ready, states, now, user, key)
    weighing.look()
    return weighing


def step_up(rules: Rules, user: str, key: str | None, now: int, states: States) -> Decision:
    """Take a passed step-up into account: less evidence, no medium, and trust in this user on this device key.

    High and stop stay: they need an operator, or time.
    """
    ready = plan(rules)
    minutes = now // 60
    account = cast("UserState | None", states.get(Entity(Kind.USER, user)))
    device = cast("KeyState | None", states.get(Entity(Kind.KEY, key))) if key is not None else None
    before = look(ready, user, key, now, states)
    if before.band < 2:
        for bearer in (account, device):
            if bearer is None:
                continue
            lessen(bearer, rules.step_up_factor)
            bearer.floor = 0
            total = sum(amount for _, amount in points(bearer, ready.counted, minutes))
            bearer.band = min(bearer.band, ready.thresholds.of(total))
            bearer.since = minutes
        if account is not None and device is not None and key is not None:
            _trust(rules, user, key, minutes // 60, account, device)
    weighed = look(ready, user, key, now, states)
    return decided(ready, "", user, key, minutes, weighed)


def restore(rules: Rules, entity: Entity, now: int, states: States) -> None:
    """Take back everything held against a user or a device key: an operator said so.

    A device key is trusted with the users it served, as after a step-up.
    """
    state = states.get(entity)
    if not isinstance(state, UserState | KeyState):
        return
    minutes = now // 60
    state.evidence.clear()
    state.band = state.stop = state.floor = 0
    state.since = minutes
    if isinstance(state, UserState):
        state.stopped = state.fails = 0
    else:
        state.fails = 0
        for pair in state.users.values():
            pair[1] &= ~PAIR_FAR
            pair[2] = minutes // 60 + rules.trust_days * 24


def fixed_medium(rules: Rules, event_id: str) -> Decision:
    """Return the decision where none can be reached: medium, never open and never a wipe."""
    return Decision(
        event_id, "medium", 0, (), (), rules.reactions["medium"], rules.version, notes=("the engine failed",)
    )


def _trust(rules: Rules, user: str, key: str, hours: int, account: UserState, device: KeyState) -> None:
    pair = device.users.get(tag(user))
    if pair is not None:
        pair[1] &= ~PAIR_FAR
        pair[2] = hours + rules.trust_days * 24
    known = account.keys.get(tag(key))
    if known is not None:
        known[3] &= ~FAR


def decided(ready: Plan, event_id: str, user: str | None, key: str | None, minutes: int, weighed: Weighing) -> Decision:
    """Write out what was weighed."""
    band = NAMES[weighed.band]
    found = _points(ready, Kind.USER, user, weighed.user_points) + _points(ready, Kind.KEY, key, weighed.key_points)
    shadow: list[Points] = []
    held: list[Stop] = []
    for kind, name, bearer in ((Kind.USER, user, weighed.user), (Kind.KEY, key, weighed.key)):
        if bearer is None:
            continue
        if ready.shadow:
            counted = {rule for rule, _ in (weighed.user_points if kind == Kind.USER else weighed.key_points)}
            watching = [pair for pair in points(bearer, ready.shadow, minutes) if pair[0] not in counted]
            shadow += _points(ready, kind, name, watching)
        for word in WORDS:
            for action, bits in (("stop", bearer.stop), ("medium", bearer.floor)):
                if bits & BIT[word]:
                    held.append(Stop(word, f"{kind.value}:{name}", action, WHY[word], word in weighed.stops))
    return Decision(
        event_id,
        band,
        weighed.score,
        tuple(found),
        tuple(held),
        ready.rules.reactions[band],
        ready.rules.version,
        user_band=_alone(weighed.user),
        key_band=_alone(weighed.key),
        moved=tuple(Moved(entity, NAMES[before], NAMES[after]) for entity, before, after in weighed.moved),
        hits=weighed.hits,
        shadow=tuple(shadow),
        muted=weighed.muted,
        notes=weighed.notes,
    )


def _alone(bearer: Bearer | None) -> str:
    if bearer is None:
        return NAMES[0]
    return NAMES[STOP if bearer.stop else max(bearer.band, 1 if bearer.floor else 0)]


def _points(ready: Plan, kind: Kind, name: str | None, pairs: Sequence[tuple[int, int]]) -> list[Points]:
    return [
        Points(ready.lines[rule].id, kind.value, name or "", amount, ready.lines[rule].rule.title)
        for rule, amount in pairs
    ]
