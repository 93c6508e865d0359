"""What the office allows, for how long: one frozen value, read from the settings once."""

from dataclasses import dataclass

from strongroom.errors import Code, SetupError

MAX_URL_SECONDS = 300  # about five minutes, strict (R71); may be shortened, never lengthened
MAX_USER_TOKEN_SECONDS = 7 * 86_400
_DAY = 86_400

_RANGES = {
    "url_seconds": (1, MAX_URL_SECONDS),
    "upload_seconds": (1, _DAY),
    "challenge_seconds": (1, 300),
    "lease_seconds": (1, 366 * _DAY),
    "max_offline": (0, 366 * _DAY),
    "latest_seconds": (1, 30 * _DAY),
    "device_token_seconds": (60, 366 * _DAY),
    "order_seconds": (60, 366 * _DAY),
    "user_token_seconds": (1, MAX_USER_TOKEN_SECONDS),
}


@dataclass(frozen=True, slots=True)
class Policy:
    """Lifetimes in seconds, and the suites and KEMs that are served.

    Raises:
        SetupError: CONFIG, if a lifetime is out of its range or a list is empty.
    """

    url_seconds: int = MAX_URL_SECONDS
    upload_seconds: int = 3600  # publishers upload whole models; a PUT link fits one object and one size
    challenge_seconds: int = 60
    lease_seconds: int = 7 * _DAY
    max_offline: int = 3 * _DAY
    latest_seconds: int = _DAY
    device_token_seconds: int = 30 * _DAY
    user_token_seconds: int = 3600
    order_seconds: int = 90 * _DAY  # how long a device is waited for that is ordered to wipe something
    suites: tuple[int, ...] = (1,)
    kems: tuple[int, ...] = (0x647A, 0x0020, 0x0010)

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            if not low <= getattr(self, name) <= high:
                raise SetupError(
                    Code.CONFIG,
                    f"policy {name} must be {low} to {high} seconds",
                    next_step=f"set {name} in strongroom.toml",
                )
        if not self.suites or not self.kems:
            raise SetupError(Code.CONFIG, "policy must allow at least one suite and one KEM")
