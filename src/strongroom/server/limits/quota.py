"""How much of something one account may have in a day: releases now, builds of individual models when there are any."""

DAY = 86_400  # seconds; days begin at midnight UTC
RELEASES_PER_DAY = 100_000  # of one account: ten models on each of ten thousand devices
ACCOUNTS = 100_000  # that are counted in one day; about 15 MB


class DailyQuota:
    """Counts in this process, from midnight to midnight UTC; a restart begins at nothing."""

    def __init__(self, most: int) -> None:
        """Begin with nobody.

        Args:
            most: for each account in a day.
        """
        self._most = most
        self._day = 0
        self._taken: dict[str, int] = {}

    def take(self, account: str, now: int) -> int:
        """Count one, and return 0; or, if the day's are used up, the seconds until the next day."""
        day, past = divmod(now, DAY)
        if day != self._day:
            self._day, self._taken = day, {}
        taken = self._taken.get(account, 0)
        if taken >= self._most or (not taken and len(self._taken) >= ACCOUNTS):
            return DAY - past
        self._taken[account] = taken + 1
        return 0
