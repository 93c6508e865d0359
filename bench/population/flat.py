"""What most people would build: a counter for each line of the list, a threshold for each, points that add up."""

from population.world import DAY, HOUR, MINUTE, Json

WEIGHT, MEDIUM, HIGH, LASTS = 35, 30, 70, 7 * DAY
BANDS = ("none", "medium", "high", "stop")


class Flat:
    """Flat counters over the list of signals and stop factors, for each user."""

    def __init__(self) -> None:
        self._seen: dict[str, dict[str, dict[str, float]]] = {}  # user, what, which: when last
        self._points: dict[str, dict[str, float]] = {}  # user, signal: when last
        self._stopped: set[str] = set()

    def band(self, event: Json) -> str:
        """Take an event; return the band of its user."""
        user = event["user_id"]
        if user is None:
            return "none"
        who, at, what = str(user), float(str(event["ts"])), event["type"]
        points = self._points.setdefault(who, {})
        device, session = str(event["device_id"]), str(event["session_id"])
        if self._count(who, "device", device, at, 30 * DAY) > 2:
            points["device ids switch"] = at
        if self._count(who, f"at {device}", str(event["ip"]), at, 20 * MINUTE) > 1:
            points["identical device ids online"] = at
        if what == "model_download" and self._count(who, f"in {session}", str(event["event_id"]), at, DAY) > 5:
            points["many downloads in a session"] = at
        if what == "session_end":
            self._seen[who].get("session", {}).pop(session, None)
        elif event["session_id"] and self._count(who, "session", session, at, HOUR) > 2:
            points["parallel sessions"] = at
        if what == "app_install" and self._count(who, "install", str(event["event_id"]), at, 7 * DAY) > 2:
            points["repeated reinstalls"] = at
        if event["tamper"] or event["app_sig"] == "bad" or event["attestation"] == "fail" or what == "honeypot":
            self._stopped.add(who)
        if who in self._stopped:
            return "stop"
        score = WEIGHT * sum(at - last < LASTS for last in points.values())
        return "high" if score >= HIGH else "medium" if score >= MEDIUM else "none"

    def _count(self, who: str, what: str, which: str, at: float, window: float) -> int:
        seen = self._seen.setdefault(who, {}).setdefault(what, {})
        seen[which] = at
        if len(seen) > 1:
            for old in [one for one, last in seen.items() if at - last > window]:
                del seen[old]
        return len(seen)
