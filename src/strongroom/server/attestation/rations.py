"""How often one device makes us ask somebody else: what Google answers in a day is limited, and serves all devices."""

MOST = 20  # questions for one device in one stretch of time
SECONDS = 3600  # length of a stretch; all begin and end together
DEVICES = 100_000  # that are counted in one stretch; about 15 MB


class Rations:
    """Counts questions in this process, for each who may ask them."""

    def __init__(self, most: int = MOST) -> None:
        """Begin with nobody.

        Args:
            most: questions for each in `SECONDS`.
        """
        self._most = most
        self._asked: dict[str, int] = {}
        self._ends = 0  # Unix seconds

    def take(self, who: str, now: int) -> bool:
        """Tell whether one more question may be asked, and count it.

        Args:
            who: identifier of a device, or of a user whose device has none yet.
            now: Unix seconds.
        """
        if now >= self._ends:
            self._asked, self._ends = {}, now + SECONDS
        asked = self._asked.get(who, 0)
        if asked >= self._most or (not asked and len(self._asked) >= DEVICES):
            return False
        self._asked[who] = asked + 1
        return True
