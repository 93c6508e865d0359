"""The device's front door: connect, enrol, pull, load.

Three lines are the promise:

    room = strongroom.connect("https://models.example.com", token=my_token)
    with room.load("digits@stable") as model:
        session = model.session()
"""

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

from strongroom.edge import attesting, following, given, signals
from strongroom.edge.clock import Reading, read_clocks
from strongroom.edge.evidence import Attestor
from strongroom.edge.exchange import Connector
from strongroom.edge.following import Unpinned
from strongroom.edge.keystore import Keystore
from strongroom.edge.keystore.opening import open_keystore
from strongroom.edge.pull import Installed
from strongroom.edge.reactions import Callbacks, OnReaction, OnStepUp, Reaction, StepUp
from strongroom.edge.room import Room
from strongroom.edge.signals import Teller
from strongroom.edge.state import State
from strongroom.edge.store import KEYS, TRUST, Store
from strongroom.errors import DeniedError, IntegrityError, RefusedError, StoreError, UnreachableError
from strongroom.transport import Pinned, fetch_trust

__all__ = ["Attestor", "Installed", "Reaction", "Room", "StepUp", "connect", "open_room"]

HASTE = 3.0  # seconds that opening a model waits for an office it could do without


def connect(
    url: str | None = None,
    *,
    token: str | None = None,
    home: Path | str | None = None,
    trust: Path | str | None = None,
    tpm: str | None = None,
    tpm_issuers: Path | str | None = None,
    pcrs: Sequence[int] = (),
    attestor: Attestor | None = None,
    build: str | None = None,
    on_step_up: OnStepUp | None = None,
    on_reaction: OnReaction | None = None,
) -> Room:
    """Open this device's directory, and enrol the device if a token is given and it is not enrolled yet.

    Args:
        url: the server, which must be the one trust.json names; None to take that one.
        token: a user's access token; used to enrol, also when the server asks for that again, and never written down.
        home: the device directory; by default $STRONGROOM_HOME, else ~/.local/share/strongroom.
        trust: the trust document to begin with; by default trust.json in the device directory.
        tpm: address of the TPM that keeps this device's keys and vouches for it, such as /dev/tpmrm0; a device that
            was enrolled with one finds it by itself.
        tpm_issuers: certificates of whoever certified the TPM, PEM or DER, for a TPM that holds its own alone; used to
            enrol and not kept.
        pcrs: registers of the TPM that are quoted, of bank sha256. Enrolling remembers them; 0 to 7 by default.
        attestor: what vouches for this device instead: an app's wrapper of its platform's attestation.
        build: what the app calls its build, such as "2.4.1+318", 1 to 64 characters; the server is told.
        on_step_up: called with a StepUp when the server wants the user to sign in again, or the device attested anew
            and no `token` is held; returns a token the user got just now, or None to have the refusal raised.
        on_reaction: called with a Reaction when an answer has words for the app, such as "slow-down".

    Raises:
        InputError: ARGUMENT, if `url` is not the server of trust.json, registers or issuers are those of no TPM, or
            another argument cannot be what it is given as.
        SetupError: CONFIG without any trust.json; PERMISSIONS; ALREADY_THERE, if `tpm` comes after keys in files.
        IntegrityError: trust.json is malformed, or not signed by its owners.
        RefusedError: TRUST_VERSION, if `trust` does not follow the document in force.
        StoreError: the device directory cannot be used.
        StrongroomError: as `Room.enrol`, when it enrols.
    """
    callbacks = Callbacks(on_step_up, on_reaction)
    teller = Teller(signals.checked_build(build))
    place = given.home(home)
    given_trust = None if trust is None else given.path(trust, "trust")
    keystore = open_keystore(place / KEYS, None if tpm is None else given.text(tpm, "tpm"))
    issuers = () if tpm_issuers is None else given.certificates(tpm_issuers, "tpm_issuers")
    return open_room(
        place,
        keystore,
        url=url,
        token=token,
        trust=given_trust,
        connector=lambda document: Pinned(document.server, document.pins),
        hasty=lambda document: Pinned(document.server, document.pins, timeout=HASTE),
        clocks=read_clocks,
        unpinned=fetch_trust,
        attestor=attesting.by_tpm(keystore, attestor, given.registers(pcrs), issuers),
        callbacks=callbacks,
        teller=teller,
    )


def open_room(
    home: Path,
    keystore: Keystore,
    *,
    url: str | None,
    token: str | None,
    trust: Path | None,
    connector: Connector,
    clocks: Callable[[], Reading],
    unpinned: Unpinned | None = None,
    hasty: Connector | None = None,
    attestor: Attestor | None = None,
    callbacks: Callbacks | None = None,
    teller: Teller | None = None,
) -> Room:
    """Do what `connect` does, with everything it touches given. Raises as `connect`."""
    if url is not None:
        given.text(url, "url")
    if token is not None:
        given.text(token, "token")
    named = None if trust is None else given.read_trust(trust)
    store = Store(home, keystore, clocks=clocks)
    state = store.read()
    document = named if state is None else state.trust_document()
    if document is None:
        document = given.own_trust(home)
    place = home / TRUST if trust is None else trust
    trusted = given.check_trust(document, place)
    room = Room(
        store,
        trusted,
        document,
        connector,
        unpinned,
        trust_from=place,
        hasty=hasty,
        attestor=attestor,
        callbacks=callbacks,
        teller=teller,
    )
    if trust is not None and named is not None and not following.passed(room.trust, named):
        given.next_trust(room.trust, named, trust)
        room._use(following.adopt(store, room.trust, [named]))  # noqa: SLF001 - this module's own class
    if url is not None:
        given.server(url, room.trust)
    if token is not None:
        room.hold(token)
        _enrol_if_needed(room, state, token)
    return room


def _enrol_if_needed(room: Room, state: State | None, token: str) -> None:
    """Enrol a device without an identity, or renew its own token when that is over."""
    if state is None or state.identity is None:
        room.enrol(token)
    elif state.identity.token_expires <= room.store.clocks().wall:
        # What is installed opens without any token, and whoever pulls is told what is wrong with it.
        with contextlib.suppress(UnreachableError, DeniedError, RefusedError, IntegrityError, StoreError):
            room.enrol(token)
