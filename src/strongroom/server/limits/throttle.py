"""Addresses from which noise comes: slowed down for a while, unless known people share them.

Noise is what nobody honest sends and nobody can be blamed for: a decoy touched without any credential. An address says
little about who it is (an office, a mobile network), so it is slowed and never shut out, for fifteen minutes at most,
and not at all while more than `SHARED` users were seen on it.
"""

import hashlib
from collections import OrderedDict

MAX_SECONDS = 900  # an address is slowed down for, at most
NOISE_SECONDS = 300  # for each time that noise comes from it
FACTOR = 0.1  # of its usual rate
SHARED = 1  # users of an address who share it with nobody we know
KNOWN_SECONDS = 86_400  # that a user counts as seen on an address
ADDRESSES = 50_000  # remembered, of each kind; about 25 MB


class AddressThrottle:
    """Remembers in this process which addresses are slow, and which users were seen on which."""

    def __init__(self, *, addresses: int = ADDRESSES) -> None:
        """Begin with nothing.

        Args:
            addresses: remembered at once, of each kind.
        """
        self._most = addresses
        self._slow: OrderedDict[str, int] = OrderedDict()  # address: until
        self._users: OrderedDict[str, dict[bytes, int]] = OrderedDict()  # address: user's digest: last seen

    def saw(self, address: str, user: str, now: int) -> None:
        """Note that a user was identified on an address; of more than `SHARED` the newest are kept."""
        users = self._users.setdefault(address, {})
        self._users.move_to_end(address)
        digest = hashlib.blake2b(user.encode("utf-8"), digest_size=8).digest()
        users.pop(digest, None)
        users[digest] = now
        if len(users) > SHARED + 1:
            del users[next(iter(users))]
        if len(self._users) > self._most:  # only who is known fills this up, and loses no more than being known
            self._users.popitem(last=False)

    def known_users(self, address: str, now: int) -> int:
        """Return how many users were seen on an address in the last day; `SHARED` + 1 stands for any more."""
        return sum(now - KNOWN_SECONDS < seen for seen in self._users.get(address, {}).values())

    def slow(self, address: str, seconds: int, known_users: int, now: int) -> bool:
        """Slow an address down, for so much longer but never beyond `MAX_SECONDS` from now.

        Returns:
            Whether it is slow; one that known users share is not.
        """
        if known_users > SHARED:
            return False
        until = min(max(self._slow.get(address, now), now) + max(seconds, 0), now + MAX_SECONDS)
        if address not in self._slow and len(self._slow) >= self._most:
            self._sweep(now)
            if len(self._slow) >= self._most:
                return False  # open, and only here: the usual rates of all addresses hold as they did
        self._slow[address] = until
        self._slow.move_to_end(address)
        return True

    def noise(self, address: str, now: int) -> bool:
        """Slow down an address from which noise came. Returns as `slow`."""
        return self.slow(address, NOISE_SECONDS, self.known_users(address, now), now)

    def factor(self, address: str, now: int) -> float:
        """Return what an address's usual rate is multiplied by."""
        # MAX_SECONDS again: after a clock was set back nobody waits longer
        if not now < self._slow.get(address, 0) <= now + MAX_SECONDS:
            return 1.0
        return 1.0 if self.known_users(address, now) > SHARED else FACTOR

    def _sweep(self, now: int) -> None:
        while self._slow and next(iter(self._slow.values())) <= now:
            self._slow.popitem(last=False)
