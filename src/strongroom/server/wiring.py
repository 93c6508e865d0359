"""The only file that picks adapters: from settings to an open office."""

import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from strongroom.errors import Code, SetupError, StrongroomError
from strongroom.risk.defaults import default_rules
from strongroom.risk.rules import Rules
from strongroom.risk.rules_file import read_rules
from strongroom.server.alerts.webhook import MAX_AUTHORITIES, MAX_SECRET_FILE, Webhook, read_secrets, tls_context
from strongroom.server.attestation import Attestation
from strongroom.server.attestation.google_account import read_account
from strongroom.server.attestation.google_play import GooglePlay
from strongroom.server.attestation.opening import Believed, read_policies, revocation, written_by_others
from strongroom.server.counters.memory import MemoryCounters
from strongroom.server.ledger import current, head
from strongroom.server.ledger.engine import EMPTY_STEP, place, read_url, sqlite_url
from strongroom.server.ledger.sql import SqlLedger
from strongroom.server.limits.memory import in_memory
from strongroom.server.office import Office
from strongroom.server.settings import Settings
from strongroom.server.stores.folder import FolderStore
from strongroom.server.tokens import TokenIssuer
from strongroom.server.vaults.keyring import Keyring
from strongroom.server.vaults.keyring_file import KEY_FILE_SIZE, MAX_FILE, KeyFile, Passphrase, open_keyring
from strongroom.server.watch import RulesInForce, Watch
from strongroom.signing import Role, SigningKey
from strongroom.wire import trust as trust_file
from strongroom.wire.trust import Trust

MAX_PASSPHRASE = 1024  # bytes
MAX_RULES = 1_048_576  # bytes of risk.toml

_log = structlog.get_logger(__name__)


def wall_clock() -> int:
    """Return the time in Unix seconds: the rim's clock."""
    return int(time.time())  # noqa: TID251 - the rim


def database_url(settings: Settings) -> str:
    """Return the URL of the ledger's database."""
    return settings.database if "://" in settings.database else sqlite_url(settings.resolve(settings.database))


def open_ledger(settings: Settings) -> SqlLedger:
    """Open the ledger alone, for a question that no running server is asked.

    Raises:
        SetupError: DATABASE.
        StoreError: DATABASE.
    """
    url = database_url(settings)
    _check_tables(url)
    return SqlLedger.open(url)


def open_office(
    settings: Settings,
    *,
    passphrase: bytes | None = None,
    now: Callable[[], int] = wall_clock,
    random: Callable[[int], bytes] = os.urandom,
) -> Office:
    """Open everything these settings name.

    Args:
        settings: as `settings.load` returned them.
        passphrase: what a person typed; wins over passphrase_file and key_file.
        now: Unix seconds.
        random: cryptographically strong bytes.

    Raises:
        SetupError: CONFIG, NOT_INITIALISED, PERMISSIONS, VAULT_SEALED or DATABASE.
        StoreError: DATABASE or STORE_IO.
        IntegrityError: trust.json is not genuine.
    """
    keyring = open_vault(settings, passphrase=passphrase, random=random)
    trust, documents = read_trust(settings.resolve(settings.trust))
    check_roles(trust, keyring, settings, where=str(settings.resolve(settings.trust)))
    url = database_url(settings)
    _check_tables(url)
    objects = settings.resolve(settings.objects)
    if not objects.is_dir():
        step = "make it, or mend objects in strongroom.toml"
        raise SetupError(Code.NOT_INITIALISED, "there is no folder for objects", where=str(objects), next_step=step)
    store = FolderStore(
        objects, settings.public_url, keyring.url_key, keep_free=settings.keep_free_bytes, random=random
    )
    attestation = open_attestation(settings, now=now)
    _warn(settings, trust, attestation, now())
    return Office(
        ledger=SqlLedger.open(url),
        vault=keyring,
        store=store,
        counters=MemoryCounters(started=now()),
        release_signers=_named(keyring.signers("release"), trust.release),
        order_signers=_named(keyring.signers("order"), trust.order),
        deposit_keys=keyring.deposit_keys,
        tokens=TokenIssuer(keyring.token_signer, settings.public_url),
        trust=trust,
        trust_documents=documents,
        policy=settings.policy(),
        attestation=attestation,
        limits=in_memory(
            now, settings.rates(), trusted=settings.proxies(), releases_per_day=settings.releases_per_day_per_account
        ),
        watch=open_watch(settings),
        public_url=settings.public_url,
        admin_url=settings.admin_url,
        now=now,
        random=random,
    )


def open_watch(settings: Settings) -> Watch:
    """Read the rules of the risk engine; a strongroom from before it had them goes by the shipped ones.

    Raises:
        SetupError: CONFIG with file and line, NOT_INITIALISED or PERMISSIONS.
    """
    path = settings.resolve(settings.risk)

    def read() -> Rules:
        if settings.origins()["risk"].origin == "default" and not path.exists():
            return default_rules()
        try:
            return read_rules(_read(path, MAX_RULES).decode("utf-8"), str(path))
        except UnicodeDecodeError:
            step = "is this the right file?"
            raise SetupError(Code.CONFIG, "not UTF-8 text", where=str(path), next_step=step) from None

    return Watch(RulesInForce(read(), read, str(path)), event_days=settings.risk_event_days)


def open_webhook(settings: Settings) -> Webhook | None:
    """Return where alerts go; None if no alert_url is set.

    Raises:
        SetupError: NOT_INITIALISED, CONFIG or PERMISSIONS.
    """
    if settings.alert_url is None:
        return None
    if settings.alert_secret_file is None:
        what, step = "alert_url is set, and nothing signs", "set alert_secret_file: see docs/how-to/webhook.md"
        raise SetupError(Code.CONFIG, what, where=str(settings.config), next_step=step)
    path = settings.resolve(settings.alert_secret_file)
    secrets = read_secrets(_read_secret(path, MAX_SECRET_FILE), where=str(path))
    if settings.alert_ca_file is None:
        return Webhook(settings.alert_url, secrets, tls_context(None))
    believed = settings.resolve(settings.alert_ca_file)
    pem = _read(believed, MAX_AUTHORITIES).decode("ascii", "replace")
    return Webhook(settings.alert_url, secrets, tls_context(pem, where=str(believed)))


def open_attestation(settings: Settings, *, now: Callable[[], int] = wall_clock) -> Attestation:
    """Read the attestation policy and all that it names.

    Args:
        settings: name its file.
        now: Unix seconds.

    Raises:
        SetupError: NOT_INITIALISED, CONFIG or PERMISSIONS, with file and line.
    """
    path = settings.resolve(settings.attestation)
    policies = read_policies(path)
    sources, files = policies.sources, Believed(path, policies.sources)
    authorities, account = files.authorities(now()), sources.play_service_account
    decoder = None
    if account is not None:
        decoder = GooglePlay(read_account(files.read(account), where=str(path.parent / account)), now)
    return Attestation(policies, authorities, decoder, revoked=revocation(files, sources, authorities, now()))


def _check_tables(url: str) -> None:
    revision, where = current(url), place(read_url(url))
    if revision is None:
        raise SetupError(Code.DATABASE, "the database is empty", where=where, next_step=EMPTY_STEP)
    if revision != head():
        step = "run `strongroom db upgrade`"
        raise SetupError(Code.DATABASE, "the database has not this version's tables", where=where, next_step=step)


def _warn(settings: Settings, trust: Trust, attestation: Attestation, now: int) -> None:
    """Say at the start what works, but not as it seems to."""
    where = str(settings.resolve(settings.trust))
    step = "let the owners sign the next trust.json"
    if now >= trust.expires:
        _log.warning("trust.json has expired: nothing is released or deposited", where=where, next=step)
    elif all(now >= one.expires for one in trust.deposit):
        _log.warning("trust.json names no deposit key in force: nothing can be deposited", where=where, next=step)
    rules = settings.resolve(settings.attestation)
    for loud in attestation.policies.loud():
        _log.warning(loud, where=str(rules))
    for path in written_by_others(rules, attestation.policies.sources):
        what = "others may write this, and so say what devices must prove"
        _log.warning(what, where=str(path), next=f"run: chmod go-w {path}")
    watched = settings.resolve(settings.risk)
    if watched.exists() and watched.stat().st_mode & 0o022:
        what = "others may write this, and so say who is stopped"
        _log.warning(what, where=str(watched), next=f"run: chmod go-w {watched}")
    for unknown in settings.unknown_variables():
        _log.warning(unknown)


def open_vault(
    settings: Settings, *, passphrase: bytes | None = None, random: Callable[[int], bytes] = os.urandom
) -> Keyring:
    """Open the keyring.

    Raises:
        SetupError: NOT_INITIALISED, PERMISSIONS or VAULT_SEALED.
    """
    path = settings.resolve(settings.keyring)
    secret = vault_secret(settings, passphrase=passphrase)
    return open_keyring(_read_secret(path, MAX_FILE), secret, where=str(path), random=random)


def vault_secret(settings: Settings, *, passphrase: bytes | None = None) -> Passphrase | KeyFile:
    """Return what opens the keyring.

    Raises:
        SetupError: NOT_INITIALISED, PERMISSIONS or VAULT_SEALED.
    """
    if passphrase is not None:
        return Passphrase(passphrase)
    if settings.passphrase_file is not None:
        typed = _read_secret(settings.resolve(settings.passphrase_file), MAX_PASSPHRASE)
        return Passphrase(typed.removesuffix(b"\n").removesuffix(b"\r"))
    if settings.key_file is not None:
        return KeyFile(_read_secret(settings.resolve(settings.key_file), KEY_FILE_SIZE))
    where, step = str(settings.resolve(settings.keyring)), "set key_file or passphrase_file in strongroom.toml"
    raise SetupError(Code.VAULT_SEALED, "nothing opens the keyring", where=where, next_step=step)


def read_trust(path: Path) -> tuple[Trust, tuple[tuple[str, ...], ...]]:
    """Read the newest trust document and those before it.

    `trust.json` is the newest; version N of a longer chain lies beside it as `trust.N.json`.

    Returns:
        The newest one, and the signed documents of all versions, the first one first.

    Raises:
        SetupError: NOT_INITIALISED if one is missing, PERMISSIONS if it cannot be read, or CONFIG if a newer one than
            `trust.json` lies beside it.
        IntegrityError: if one is not genuine.
        RefusedError: TRUST_VERSION if one does not follow the one before.
    """
    newest = _read(path, trust_file.MAX_SIZE)
    trust = trust_file.read(newest)
    before = [
        _read(path.with_name(f"{path.stem}.{version}{path.suffix}"), trust_file.MAX_SIZE)
        for version in range(1, trust.version)
    ]
    chain = (*before, newest)
    reached = trust_file.read(chain[0])
    for start in range(1, len(chain), trust_file.MAX_STEPS):
        reached = trust_file.follow(reached, chain[start : start + trust_file.MAX_STEPS])
    _check_newest(path, trust)
    return trust, tuple(trust_file.split(document) for document in chain)


def _check_newest(path: Path, trust: Trust) -> None:
    """Refuse an old document put in the place of a newer one: devices that followed further would all turn away."""
    prefix, suffix = f"{path.stem}.", path.suffix
    beside = [one.name.removeprefix(prefix).removesuffix(suffix) for one in path.parent.glob(f"{prefix}*{suffix}")]
    newest = max((int(name) for name in beside if name.isascii() and name.isdigit()), default=0)
    if newest > trust.version:
        newer = path.with_name(f"{prefix}{newest}{suffix}")
        what = f"this is version {trust.version}, but {newer.name} lies beside it"
        raise SetupError(Code.CONFIG, what, where=str(path), next_step=f"put the newest back: cp {newer} {path}")


def check_roles(trust: Trust, keyring: Keyring, settings: Settings, *, where: str) -> None:
    """See that this server has keys enough for each role it plays, and is where the document says.

    Raises:
        SetupError: CONFIG.
    """
    step = "use the keyring and the trust.json that belong together"
    for name, role in (("release", trust.release), ("order", trust.order)):
        mine = _named(keyring.signers(name), role)
        if not mine:
            raise SetupError(Code.CONFIG, f"the keyring's {name} key is not in trust.json", where=where, next_step=step)
        if not role.satisfied({one.public.key_id for one in mine}):
            what = f"trust.json asks for {role.threshold} {name} signatures, and the keyring's keys are not enough"
            few = f"let the owners say --threshold {name}=1, or name keys of this keyring"
            raise SetupError(Code.CONFIG, what, where=where, next_step=few)
    if trust.server != settings.public_url:
        what = f"devices look for {trust.server}, but public_url is {settings.public_url}"
        raise SetupError(Code.CONFIG, what, where=where, next_step="set public_url to what trust.json says")


def _named(signers: tuple[SigningKey, ...], role: Role) -> tuple[SigningKey, ...]:
    """Return those of our keys that the owners have named: one that waits for them signs nothing yet."""
    return tuple(one for one in signers if role.key(one.public.key_id) is not None)


def _read_secret(path: Path, limit: int) -> bytes:
    data, mode = _read_with_mode(path, limit)
    if mode & 0o077:
        raise SetupError(
            Code.PERMISSIONS, "others may read this secret", where=str(path), next_step=f"run: chmod 600 {path}"
        )
    return data


def _read(path: Path, limit: int) -> bytes:
    return _read_with_mode(path, limit)[0]


def _read_with_mode(path: Path, limit: int) -> tuple[bytes, int]:
    try:
        # NONBLOCK: opening a FIFO that nobody writes to would wait for ever; what is no regular file is refused below
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            state = os.fstat(file.fileno())
            if not stat.S_ISREG(state.st_mode) or state.st_size > limit:
                what = f"not a regular file of at most {limit} bytes"
                raise SetupError(Code.CONFIG, what, where=str(path), next_step="mend its path in strongroom.toml")
            return file.read(limit), state.st_mode
    except OSError as error:
        raise _unreadable(error, path) from None


def _unreadable(error: OSError, path: Path) -> StrongroomError:
    code = Code.NOT_INITIALISED if isinstance(error, FileNotFoundError) else Code.PERMISSIONS
    step = "restore it from the backup, or mend its path in strongroom.toml"
    return SetupError(code, f"cannot be read: {error.strerror}", where=str(path), next_step=step)
