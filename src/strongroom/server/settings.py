"""Settings of a server: read once, then frozen.

Flag over `STRONGROOM_*` over `strongroom.toml` over default. No setting turns a check off; lifetimes can only move
inside the ranges of `policy.py`. Secrets are never settings: only the names of files that hold them are.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, Field, PrivateAttr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from strongroom.errors import Code, SetupError
from strongroom.server.alerts.webhook import URL_RULE as WEBHOOK_RULE
from strongroom.server.alerts.webhook import is_url
from strongroom.server.limits.addresses import Network, read_networks
from strongroom.server.limits.quota import RELEASES_PER_DAY
from strongroom.server.limits.rates import RateTable, Route, read_rates, rule_of, write_rates
from strongroom.server.policy import MAX_URL_SECONDS, MAX_USER_TOKEN_SECONDS, Policy
from strongroom.server.watch import EVENT_DAYS

FILE_NAME = "strongroom.toml"
PREFIX = "STRONGROOM_"
MAX_FILE = 65_536  # bytes

# read by the command line, for devices and operators; every other STRONGROOM_* variable is a setting, or a mistake
OTHER_VARIABLES = frozenset({"ADMIN_TOKEN", "CONFIG", "DIR", "HOME", "TOKEN", "TOKEN_FILE", "TRACE"})

_DAY = 86_400
_DEFAULTS = Policy()
_RATES = {f"rate_{route}": route for route in Route}
_RULES = {"alert_url": WEBHOOK_RULE, "trusted_proxies": "text of networks between blanks: '10.1.0.0/16 fd00:1::/32'"}
_TOML_TWICE = ("Cannot overwrite", "Cannot declare", "Duplicate")  # how tomllib begins to say so
_TOML_PLACE = re.compile(r"\(at line (\d+), column \d+\)")
_ORIGIN = re.compile(r"https://(?:[a-z0-9.-]{1,253}|\[[0-9a-f:]{2,45}\])(?::[0-9]{1,5})?\Z")


def _https(url: str) -> str:
    if not _ORIGIN.match(url):
        raise ValueError("must be https://HOST or https://HOST:PORT in lower case, without a path")
    return url


def _webhook(url: str | None) -> str | None:
    if url is not None and not is_url(url):
        raise ValueError(WEBHOOK_RULE)
    return url


Url = Annotated[str, AfterValidator(_https)]
Port = Annotated[int, Field(ge=0, le=65_535)]  # 0: any free port, told in the ready line


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the value of one setting comes from: "flag", a variable's name, "FILE line N", or "default"."""

    value: str
    origin: str


class Settings(BaseSettings):
    """Every setting; relative paths are relative to the directory of `strongroom.toml`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, hide_input_in_errors=True)

    public_url: Url = "https://localhost:8443"
    admin_url: Url = "https://localhost:8444"
    device_host: str = "127.0.0.1"
    device_port: Port = 8443
    admin_host: str = "127.0.0.1"
    admin_port: Port = 8444

    database: str = "database/strongroom.db"  # a path, or a database URL
    objects: Path = Path("objects")
    keyring: Path = Path("keys/keyring.json")
    key_file: Path | None = None
    passphrase_file: Path | None = None
    trust: Path = Path("trust.json")
    attestation: Path = Path("attestation.toml")
    risk: Path = Path("risk.toml")
    tls_certificate: Path = Path("tls/server.pem")
    tls_key: Path = Path("tls/server.key")

    url_seconds: int = Field(_DEFAULTS.url_seconds, ge=1, le=MAX_URL_SECONDS)
    upload_seconds: int = Field(_DEFAULTS.upload_seconds, ge=1, le=_DAY)
    challenge_seconds: int = Field(_DEFAULTS.challenge_seconds, ge=1, le=300)
    lease_seconds: int = Field(_DEFAULTS.lease_seconds, ge=1, le=366 * _DAY)
    max_offline: int = Field(_DEFAULTS.max_offline, ge=0, le=366 * _DAY)
    latest_seconds: int = Field(_DEFAULTS.latest_seconds, ge=1, le=30 * _DAY)
    device_token_seconds: int = Field(_DEFAULTS.device_token_seconds, ge=60, le=366 * _DAY)
    order_seconds: int = Field(_DEFAULTS.order_seconds, ge=60, le=366 * _DAY)
    user_token_seconds: int = Field(_DEFAULTS.user_token_seconds, ge=1, le=MAX_USER_TOKEN_SECONDS)

    rate_challenge: str = write_rates(Route.CHALLENGE)
    rate_enrol: str = write_rates(Route.ENROL)
    rate_release: str = write_rates(Route.RELEASE)
    rate_urls: str = write_rates(Route.URLS)
    rate_renew: str = write_rates(Route.RENEW)
    rate_receipt: str = write_rates(Route.RECEIPT)
    rate_object: str = write_rates(Route.OBJECT)
    rate_public: str = write_rates(Route.PUBLIC)
    rate_admin_read: str = write_rates(Route.ADMIN_READ)
    rate_admin_write: str = write_rates(Route.ADMIN_WRITE)
    releases_per_day_per_account: int = Field(RELEASES_PER_DAY, ge=1, le=1_000_000_000)
    trusted_proxies: str = ""

    alert_url: Annotated[str | None, AfterValidator(_webhook)] = None
    alert_secret_file: Path | None = None
    alert_ca_file: Path | None = None

    risk_event_days: int = Field(EVENT_DAYS, ge=1, le=3660)

    keep_free_bytes: int = Field(256 * 2**20, ge=0, le=2**53 - 1)
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    _directory: Path = PrivateAttr(default=Path())
    _origins: dict[str, str] = PrivateAttr(default_factory=dict)
    _unknown: tuple[str, ...] = PrivateAttr(default=())

    @field_validator(*_RATES)
    @classmethod
    def _rates(cls, value: str, info: ValidationInfo) -> str:
        read_rates(_RATES[info.field_name or ""], value)
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: str) -> str:
        read_networks(value)
        return value

    @property
    def directory(self) -> Path:
        """The directory of `strongroom.toml`, absolute."""
        return self._directory

    @property
    def config(self) -> Path:
        """The file these settings were read from."""
        return self._directory / FILE_NAME

    def resolve(self, path: str | Path) -> Path:
        """Return a path of these settings as an absolute one."""
        return self._directory / path

    def unknown_variables(self) -> tuple[str, ...]:
        """Tell, a sentence each, which STRONGROOM_* variables are nobody's: probably misspelt, and without effect.

        They do not stop a server: an orchestrator may set some that only look like ours.
        """
        return self._unknown

    def origins(self) -> dict[str, Origin]:
        """Tell each setting's value and where it comes from, for `strongroom config show --origin`."""
        shown = {name: getattr(self, name) for name in type(self).model_fields}
        return {
            name: Origin("" if value is None else _without_password(str(value)), self._origins.get(name, "default"))
            for name, value in shown.items()
        }

    def rates(self) -> RateTable:
        """Return how many requests a minute are served, by class of route and kind of caller."""
        return {route: read_rates(route, getattr(self, name)) for name, route in _RATES.items()}

    def proxies(self) -> tuple[Network, ...]:
        """Return the networks of proxies that are believed."""
        return read_networks(self.trusted_proxies)

    def policy(self) -> Policy:
        """Return the lifetimes as the use cases take them."""
        return Policy(
            url_seconds=self.url_seconds,
            upload_seconds=self.upload_seconds,
            challenge_seconds=self.challenge_seconds,
            lease_seconds=self.lease_seconds,
            max_offline=self.max_offline,
            latest_seconds=self.latest_seconds,
            device_token_seconds=self.device_token_seconds,
            user_token_seconds=self.user_token_seconds,
            order_seconds=self.order_seconds,
        )


def load(config: Path | None = None, **flags: str | int | Path | None) -> Settings:
    """Read the settings of one strongroom.

    Args:
        config: its directory or its `strongroom.toml`; without it `STRONGROOM_CONFIG`, then the working directory.
        flags: values that win over everything else; None means "not given".

    Raises:
        SetupError: NOT_INITIALISED if there is no `strongroom.toml`; CONFIG if a value or a name is wrong, with file
            and line, or the variable's name.
    """
    file = _file(config)
    text, values = _read(file)
    given = {name: value for name, value in flags.items() if value is not None}

    class Loaded(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - named by pydantic-settings
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - named by pydantic-settings
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return init_settings, env_settings, InitSettingsSource(settings_cls, values)

    origins = _origins(file, text, values, given)
    _check_types(values, origins)
    try:
        settings = Loaded(**given)  # type: ignore[arg-type] # checked field by field by pydantic
    except ValidationError as error:
        raise _wrong(error, file, origins) from None
    settings._directory = file.parent  # noqa: SLF001 - where it was read from is not a setting
    settings._origins = origins  # noqa: SLF001 - this module's own class
    settings._unknown = tuple(_nobodys(os.environ))  # noqa: SLF001 - the same
    return settings


def _file(config: Path | None) -> Path:
    named = config if config is not None else Path(os.environ.get(f"{PREFIX}CONFIG", "."))
    file = named / FILE_NAME if named.is_dir() else named
    return file.absolute()


def _read(file: Path) -> tuple[str, dict[str, Any]]:
    step = "run `strongroom init DIR`, or name the directory with --config"
    try:
        if not file.is_file():
            raise SetupError(Code.NOT_INITIALISED, "there is no strongroom here", where=str(file), next_step=step)
        if file.stat().st_size > MAX_FILE:
            what = f"a configuration of more than {MAX_FILE} bytes"
            raise SetupError(Code.CONFIG, what, where=str(file), next_step="is this the right file?")
        text = file.read_bytes().decode("utf-8")
        return text, tomllib.loads(text)
    except OSError as error:
        raise SetupError(Code.CONFIG, f"cannot be read: {error.strerror}", where=str(file), next_step=step) from None
    except UnicodeDecodeError:
        raise SetupError(Code.CONFIG, "not UTF-8 text", where=str(file), next_step="is this the right file?") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        place = _TOML_PLACE.search(str(error))
        lines = text.splitlines()
        line = int(place[1]) if place else len(lines)  # "at end of document" is the other place it names
        what, step = "not valid TOML", "mend this line"
        if str(error).startswith(_TOML_TWICE):
            name = lines[line - 1].partition("=")[0].strip()
            what, step = f"{name[:40]!a} is set twice", "keep one of the two lines"
        raise SetupError(Code.CONFIG, what, where=f"{file} line {line}", next_step=step) from None


def _origins(file: Path, text: str, values: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, str]:
    origins = {name: f"{file} line {_line(text, name)}" if _line(text, name) else str(file) for name in values}
    environment = {name.upper() for name in os.environ}
    origins |= {
        name: f"{PREFIX}{name.upper()}" for name in Settings.model_fields if f"{PREFIX}{name.upper()}" in environment
    }
    return origins | dict.fromkeys(given, "flag")


def _line(text: str, name: str) -> int:
    wanted = re.compile(rf"\s*(?:\[+\s*)?[\"']?{re.escape(name)}[\"']?\s*[=.\]]")
    return next((number for number, line in enumerate(text.splitlines(), 1) if wanted.match(line)), 0)


def _wrong(error: ValidationError, file: Path, origins: Mapping[str, str]) -> SetupError:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    where = origins.get(name, str(file))
    if first["type"] == "extra_forbidden":
        known = ", ".join(sorted(Settings.model_fields))
        return SetupError(
            Code.CONFIG, f"unknown setting {name[:40]!a}", where=where, next_step=f"remove it; known are: {known}"
        )
    return _not_allowed(name, where)


def _check_types(values: Mapping[str, Any], origins: Mapping[str, str]) -> None:
    """Refuse what pydantic would bend into shape: true as 1, 1.0 as 1, "1" as 1. A variable is always text."""
    for name, value in values.items():
        field = Settings.model_fields.get(name)
        if field is not None and type(value) is not (int if field.annotation is int else str):
            raise _not_allowed(name, origins[name])


def _not_allowed(name: str, where: str) -> SetupError:
    default = Settings.model_fields[name].default
    shown = f'"{default}"' if isinstance(default, (str, Path)) else f"{default}"
    step = f"set it to one, or remove it: the default is {shown}" if default is not None else "set it to one"
    return SetupError(Code.CONFIG, f"{name} is not {_rule(name)}", where=where, next_step=step)


def _rule(name: str) -> str:
    """Say in words what a setting may be."""
    field = Settings.model_fields[name]
    if name in _RATES:
        return rule_of(_RATES[name])
    if name in _RULES:
        return _RULES[name]
    if field.annotation is int:
        low = next(one.ge for one in field.metadata if hasattr(one, "ge"))
        high = next(one.le for one in field.metadata if hasattr(one, "le"))
        return f"a whole number from {low} to {high}"
    if choices := [one for one in get_args(field.annotation) if isinstance(one, str)]:
        return f"one of {', '.join(choices)}"
    if field.metadata:
        return "https://HOST or https://HOST:PORT in lower case, without a path"
    return "text in quotation marks"


def _nobodys(variables: Iterable[str]) -> Iterator[str]:
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} | {
        f"{PREFIX}{name}" for name in OTHER_VARIABLES
    }
    for name in sorted(variables):
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            close = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.8)
            yield f"{name} has no effect: no setting has this name" + (f"; is {close[0]} meant?" if close else "")


def _without_password(value: str) -> str:
    return re.sub(r"(://[^:/@\s]*):[^@/\s]*@", r"\1:***@", value)
