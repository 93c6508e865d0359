"""Weigh one event: fold it in, see which rules hold, charge their bearers, and find the band in force.

This is the hot path of a server and of a replay alike. Its result is plain numbers; `engine` turns it into a `Decision`
where somebody wants to read it.
"""

from collections.abc import MutableMapping, Sequence
from typing import Final, cast

from strongroom.risk import breaker, stops
from strongroom.risk.bands import HIGH, MEDIUM, NONE, STOP
from strongroom.risk.bearer import OLD_HOURS
from strongroom.risk.entities import EVERYTHING, Entity, Kind, app_build, model_build, tag
from strongroom.risk.events import Event
from strongroom.risk.facts import Facts
from strongroom.risk.folding import ASKS, fold, fold_failed_login
from strongroom.risk.plan import Line, Plan, snoozed
from strongroom.risk.rules import Snooze
from strongroom.risk.score import charge, points
from strongroom.risk.state import AllState, Bearer, BuildState, IdState, KeyState, State, UserState
from strongroom.risk.verdicts import VERDICTS, fold_verdict

States = MutableMapping[Entity, State]
Pairs = list[tuple[int, int]]

USER, KEY, ID = Kind.USER, Kind.KEY, Kind.ID
SLACK: Final = 1440  # minutes an event may be older than the first one of its entity
_YEARS: Final = OLD_HOURS * 60
BAIT: Final = "honeypot"
CROWD: Final = 4  # users of one key that count for the baseline of a build
_NOTHING: Final[Pairs] = []


def key_name(event: Event) -> str | None:
    """Return the name of the event's device key; a device without a key goes by the id it claims."""
    if event.device_key is not None:
        return event.device_key
    return "~" + event.device_id if event.device_id is not None else None


class Weighing:
    """One event, or a mere look, on its way through.

    Attributes:
        band: the band in force, as a number of `bands.NAMES`.
        score: hundredths.
        user: the state of the user, if there is one; `key` that of the device key.
        user_points: (rule tag, hundredths) of every rule that counts; `key_points` likewise.
        hits: rules that were charged; `muted` those a build or a version of a model is to blame for.
        stops: stop words this event newly put in force.
        moved: (entity, band before, band after) of whom it moved.
        notes: see `Decision`.
    """

    __slots__ = (
        "_extra", "_minutes", "_names", "_plan", "_seconds", "_states", "band", "hits", "key", "key_points", "moved",
        "muted", "notes", "score", "stops", "user", "user_points",
    )  # fmt: skip

    def __init__(
        self,
        plan: Plan,
        states: States,
        seconds: int,
        user_name: str | None,
        key_name: str | None,
        extra: Sequence[Snooze] = (),
    ) -> None:
        self._plan = plan
        self._states = states
        self._seconds = seconds
        self._minutes = seconds // 60
        self._names = (user_name, key_name)
        self._extra = extra
        self.band = NONE
        self.score = 0
        self.user: UserState | None = None
        self.key: KeyState | None = None
        self.user_points = self.key_points = _NOTHING
        self.hits: tuple[str, ...] = ()
        self.muted: tuple[str, ...] = ()
        self.notes: tuple[str, ...] = ()
        self.stops: tuple[str, ...] = ()
        self.moved: tuple[tuple[str, int, int], ...] = ()

    def judge(self, event: Event) -> None:
        """Fold an event in, charge whom it concerns, move bands."""
        user_name, name = self._names
        states, minutes = self._states, self._minutes
        if user_name is not None:
            entity = Entity(USER, user_name)
            user = cast("UserState | None", states.get(entity))
            if user is None:
                states[entity] = user = UserState(max(0, minutes - SLACK), minutes)
            else:
                self._reach(user)
            self.user = user
        if event.type == "login_fail" and self.user is not None:
            fold_failed_login(self.user, self._minutes)
            self._find()
        else:
            self._fold(event, self.user, self._key_of(event, name), self._id_of(event))
        self.settle()

    def look(self) -> None:
        """Find the band in force; nothing moves."""
        self._find()
        self.settle(still=True)

    def _find(self) -> None:
        user_name, name = self._names
        if user_name is not None:
            self.user = cast("UserState | None", self._states.get(Entity(USER, user_name)))
        if name is not None:
            self.key = cast("KeyState | None", self._states.get(Entity(KEY, name)))

    def _key_of(self, event: Event, name: str | None) -> KeyState | None:
        if name is None:
            return None
        entity = Entity(KEY, name)
        key = cast("KeyState | None", self._states.get(entity))
        if key is None:
            if self.user is None and event.device_key is None:
                return None  # nobody with nothing to prove: noise leaves no state
            self._states[entity] = key = KeyState(max(0, self._minutes - SLACK), self._minutes)
        else:
            self._reach(key)
        self.key = key
        return key

    def _id_of(self, event: Event) -> IdState | None:
        if event.device_id is None or self.key is None:
            return None
        entity = Entity(ID, event.device_id)
        claimed = cast("IdState | None", self._states.get(entity))
        if claimed is None:
            self._states[entity] = claimed = IdState(max(0, self._minutes - SLACK))
        else:
            self._reach(claimed)
        return claimed

    def _reach(self, state: Bearer | IdState) -> None:
        """Keep now within what the state can hold: not before its base, and not many years after."""
        gap = self._minutes - state.base
        if gap < 0:
            self._minutes = state.base
        elif gap > _YEARS:
            state.aged(self._minutes // 60)

    def _fold(self, event: Event, user: UserState | None, key: KeyState | None, claimed: IdState | None) -> None:
        plan, minutes = self._plan, self._minutes
        f = fold(event, minutes, user, key, claimed)
        if key is not None and event.type in VERDICTS:
            fold_verdict(f, event, minutes, key, self._everything())
        user_class = event.user_class
        if user is not None:
            self._count(event, user)
            if f.downloads_same == 1 and event.model is not None:
                breaker.count_active(self._build(model_build(event.model, event.ver)), minutes)
            if plan.classes:
                user_class = plan.classes.get(event.user_id or "", user_class)
        allow = plan.allowances(user_class, event.entitled)
        chosen = plan.gathers.get(event.type)
        if chosen is not None:
            gather, lines = chosen
            for at, times in gather(f, allow):
                self._hit(lines[at], times, event, f)
        if event.tamper or event.attestation == "fail" or event.app_sig == "bad" or event.decoy or event.type == BAIT:
            self._stop(event, f, lenient=bool(allow.tamper))

    def _count(self, event: Event, user: UserState) -> None:
        """Count the user as one of today, and as one of the build that the event came from.

        Where `ver` is the version of a model, a day's first event says nothing about it: a request does.
        """
        minutes = self._minutes
        fresh = minutes // 1440 > user.day
        if not fresh and event.type not in ASKS:
            return
        build = tag(event.ver or "") & 0x7F
        if fresh or build != user.build:
            user.build = build
            breaker.count_active(self._build(app_build(event.ver)), minutes)
        if fresh:
            user.day = minutes // 1440
            breaker.count_user(self._everything(), minutes)

    def _everything(self) -> AllState:
        state = self._states.get(EVERYTHING)
        if state is None:
            self._states[EVERYTHING] = state = AllState()
        return cast("AllState", state)

    def _blamed(self, event: Event, rule: int, *, first: bool) -> bool:
        """Count a hit, and return whether the app's build is to blame, or the version of a model that is asked for."""
        minutes = self._minutes
        blamed = breaker.muted(self._build(app_build(event.ver)), rule, minutes, breaker.APP, first=first)
        if event.model is not None and event.type in ASKS:
            build = self._build(model_build(event.model, event.ver))
            blamed = breaker.muted(build, rule, minutes, breaker.MODEL, first=first) or blamed
        return blamed

    def _build(self, entity: Entity) -> BuildState:
        state = self._states.get(entity)
        if state is None:
            self._states[entity] = state = BuildState(self._minutes)
        return cast("BuildState", state)

    def _hit(self, line: Line, times: float, event: Event, f: Facts) -> None:
        """Charge the bearer a rule names, unless the hit is too soon, asleep, or the build's fault."""
        who = line.who
        on_key = who == "key" or (who == "responsible" and (f.far or self.user is None))
        bearer: Bearer | None = self.key if on_key else self.user
        if bearer is None:
            return
        minutes = self._minutes
        held = bearer.evidence.get(line.tag)
        if held is not None and line.quiet and minutes - held[1] < line.quiet:
            return
        if line.tag in self._asleep(on_key=on_key):
            return
        amount = round(line.weight * times)
        if line.baseline:
            # one key's many new users are one attacker's, not a build's
            first = f.users_30d <= CROWD and (held is None or held[1] // 1440 != minutes // 1440)
            if self._blamed(event, line.tag, first=first):
                self.muted = (*self.muted, line.id)
                amount = 0
        charge(bearer, line.tag, amount, line.half_life, line.cap, minutes)
        if amount:
            self.hits = (*self.hits, line.id)

    def _asleep(self, *, on_key: bool) -> frozenset[int]:
        snoozes = self._plan.snoozes
        if not snoozes and not self._extra:
            return frozenset()
        return snoozed((*snoozes, *self._extra), self._entity(on_key=on_key), self._seconds)

    def _entity(self, *, on_key: bool) -> str:
        user_name, name = self._names
        return f"key:{name}" if on_key else f"user:{user_name}"

    def _stop(self, event: Event, f: Facts, *, lenient: bool) -> None:
        user, key = self.user, self.key
        if user is None and (key is None or not key.users):
            return  # nobody is logged in: a scanner's noise, never anybody's stop
        for word in stops.found(event, f, key, lenient=lenient):
            action = self._plan.stops[word]
            if action != "off" and stops.apply(word, action, user, key, far=f.far):
                self.stops = (*self.stops, word)

    def settle(self, *, still: bool = False) -> None:
        """Add up the points of the user and the device key and find the band in force.

        Args:
            still: no band is moved.
        """
        user, key = self.user, self.key
        band = user_score = key_score = 0
        if user is not None and (user.evidence or user.band or user.stop):
            self.user_points = self._counted(user, on_key=False)
            user_score = sum([amount for _, amount in self.user_points])
            band = self._banded(user, user_score, on_key=False, still=still)
        if key is not None and (key.evidence or key.band or key.stop or key.floor):
            self.key_points = self._counted(key, on_key=True)
            key_score = sum([amount for _, amount in self.key_points])
            band = max(band, self._banded(key, key_score, on_key=True, still=still))
        self.score = user_score + key_score
        if user_score and key_score and band < HIGH:
            both = self._plan.thresholds.of(self.score)
            if both > band:
                band = MEDIUM if both == HIGH and self._is_frozen() else both
        self.band = band

    def _counted(self, bearer: Bearer, *, on_key: bool) -> Pairs:
        plan = self._plan
        rules = plan.counted
        if plan.partial:
            user_name, name = self._names
            place = tag(f"percent\0{user_name or name}") % 100
            rules = rules | {rule: plan.shadow[rule] for rule, share in plan.partial.items() if place < share}
        found = points(bearer, rules, self._minutes)
        if found:
            asleep = self._asleep(on_key=on_key)
            if asleep:
                found = [pair for pair in found if pair[0] not in asleep]
        return found

    def _is_frozen(self) -> bool:
        limits = self._plan.breaker
        state = cast("AllState | None", self._states.get(EVERYTHING))
        return state is not None and breaker.frozen(state, self._minutes, limits.share, limits.window, limits.least)

    def _banded(self, bearer: Bearer, score: int, *, on_key: bool, still: bool) -> int:
        before = bearer.band
        if not still:
            most = HIGH
            if before < HIGH and score >= self._plan.thresholds.high:
                if self._is_frozen():
                    most = MEDIUM
                    self.notes = ("breaker",)
                elif self._counts(on_key=on_key):
                    breaker.count_high(self._everything(), self._minutes, self._plan.breaker.window)
            after = self._plan.thresholds.move(bearer, score, self._minutes, most=most)
            if after != before:
                self.moved = (*self.moved, (self._entity(on_key=on_key), before, after))
        if bearer.stop:
            return STOP
        return max(bearer.band, MEDIUM if bearer.floor else NONE)

    def _counts(self, *, on_key: bool) -> bool:
        """Tell whether a move to high counts for the breaker: of a user's keys the first, or a few users trip it."""
        name = self._names[1]
        if not on_key or self.user is None or name is None:
            return True
        return next(iter(self.user.keys), None) == tag(name)


def weigh(plan: Plan, event: Event, states: States, extra: Sequence[Snooze] = ()) -> Weighing:
    """Weigh one event and move the states it concerns."""
    weighing = Weighing(plan, states, event.ts, event.user_id, key_name(event), extra)
    weighing.judge(event)
    return weighing
