"""One device's side of one strongroom: enrol, pull, renew, load."""

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from strongroom import names
from strongroom.edge import appealing, attesting, clock, enrol, following, given, renew, standing, wiping
from strongroom.edge.evidence import Attestor
from strongroom.edge.exchange import Connector, Line, Ways
from strongroom.edge.fetch import Progress
from strongroom.edge.following import Unpinned
from strongroom.edge.model import Model
from strongroom.edge.opening import Verdict, device_key, open_installed, verify
from strongroom.edge.pull import Installed, pull
from strongroom.edge.reactions import ATTEST, AUTHENTICATE, Callbacks, StepUp
from strongroom.edge.signals import Teller
from strongroom.edge.state import APP_INSTALL, FORMAT, Identity, State
from strongroom.edge.store import Store, not_enrolled
from strongroom.errors import Code, InputError, RefusedError, StrongroomError, UnreachableError
from strongroom.names import Reference
from strongroom.signing import Signer
from strongroom.wire import trust as trust_of
from strongroom.wire.trust import Trust

PAUSE = 900  # seconds until a room tries again to renew a lease before opening

_HEALED_BY_PULLING = {Code.NOT_INSTALLED, Code.LEASE_EXPIRED, Code.CLOCK, Code.STORE_DAMAGED} | {
    Code.SIGNATURE,  # of a lease whose signer the owners have replaced
    Code.LEASE_MISMATCH,
}


class Room:
    """A device's side of one strongroom. Safe to use from several threads and processes."""

    def __init__(
        self,
        store: Store,
        trust: Trust,
        trust_document: bytes,
        connector: Connector,
        unpinned: Unpinned | None,
        *,
        trust_from: Path,
        hasty: Connector | None = None,
        attestor: Attestor | None = None,
        callbacks: Callbacks | None = None,
        teller: Teller | None = None,
    ) -> None:
        """Not for callers: `connect` is the way here."""
        self._trust_from = trust_from
        self.store = store
        self.trust = trust
        self._document = trust_document
        self._ways, self._hasty_ways = Ways(connector), Ways(hasty or connector)
        self._quiet_until = 0  # uptime before which opening a model does not try to renew
        self._unpinned = unpinned
        self._attestor = attestor
        self._callbacks = callbacks or Callbacks()
        self._teller = teller or Teller()
        self._user_token: str | None = None
        self._cleaned = False
        self._token_watch = standing.TokenWatch()

    @property
    def identity(self) -> Identity:
        """Who the server says this device is.

        Raises:
            SetupError: NOT_ENROLLED.
            StoreError: as `Store.read`.
        """
        identity = self.store.need().identity
        if identity is None:
            raise not_enrolled(self.store.home)
        return identity

    @property
    def enrolled(self) -> bool:
        """Whether this device has an identity. Raises StoreError."""
        state = self.store.read()
        return state is not None and state.identity is not None

    def enrol(self, token: str) -> Identity:
        """Make this device known to the server by a user's token; the token is not kept.

        Enrolling again with the same token's user keeps the device's identity and renews its own token. A device with
        a TPM, or another attestor, has its key attested.

        Raises:
            RefusedError: EVIDENCE or ATTESTATION_NEEDED, if what vouches for this device does not convince the server.
            DeniedError: the token, the proof or the challenge was not accepted.
            UnreachableError: no connection, a wrong pin, an answer that is no answer.
            IntegrityError: the answer is malformed.
            InputError: ARGUMENT, if the token cannot be one.
            StoreError: the device directory cannot be used.
        """
        given.token(token)
        with self.store.pulling():  # two processes that enrol at once would make two device keys
            return self._enrolled(token)

    def hold(self, token: str) -> None:
        """Remember a user's token in this room, for when the server asks this device to attest its key anew."""
        given.token(token)
        self._user_token = token

    def _enrolled(self, token: str) -> Identity:
        signer = self.store.keystore.make_device_key()
        self.store.keep_trust(self._document)
        try:
            self.refresh_trust()  # the token goes to nobody whose pin was taken back
            attestor = attesting.to_enrol(self.store.keystore, self._attestor)
            identity = enrol.enrol(self._line(signer), token, attestor)
        except UnreachableError as error:
            if error.code in {Code.CERTIFICATE, Code.PIN_MISMATCH}:
                step = f"check that {self._trust_from} is the trust.json of {self.trust.server}"
                error.next_step = f"{step}; {error.next_step}" if error.next_step else step
            raise
        if self.store.read() is None:
            anchor = clock.start(self.store.clocks())
            first = State(FORMAT, trust_of.split(self._document), identity, anchor, (), ())
            self.store.found(replace(first, app_install=os.urandom(APP_INSTALL)))
        else:
            self.store.update(lambda state: replace(state, identity=identity))
        return identity

    def _stepping_up(self, model: str, work: Callable[[], Installed]) -> Installed:
        """Do what the server may want more for, alone; enrol anew, once, if it does and a user's token is to be had.

        The app is asked, and told, while other processes may go on.
        """
        try:
            with self.store.pulling():
                done = work()
        except RefusedError as error:
            token = self._token_for(error, model)
            if token is None:
                raise
            with self.store.pulling():
                self._enrolled(token)
                done = work()
        self._callbacks.tell(done.reactions, model)
        return done

    def _token_for(self, error: RefusedError, model: str) -> str | None:
        """Return the user's token that answers a refusal, None if none does. Raises as `Callbacks.fresh_token`."""
        if error.code == Code.STEP_UP:  # a token that was at hand all the time proves nothing new
            return self._callbacks.fresh_token(StepUp(AUTHENTICATE, error.reference, model))
        if error.code != Code.ATTESTATION_NEEDED or attesting.to_enrol(self.store.keystore, self._attestor) is None:
            return None
        return self._user_token or self._callbacks.fresh_token(StepUp(ATTEST, error.reference, model))

    def pull(self, reference: str, progress: Progress | None = None, *, fresh: bool = False) -> Installed:
        """Ask for a model, fetch it, and make it the active one; the old version stays until the new one is whole.

        Args:
            reference: "model", "model@channel" or "model@version".
            progress: called in this thread with the bytes fetched so far and the bytes in all.
            fresh: fetch it even if the newest version is here already.

        Raises:
            InputError: NAME.
            SetupError: NOT_ENROLLED.
            DeniedError: it is not this device's to have, or there is no such model.
            RefusedError: TRUST_EXPIRED, TRUST_VERSION, GRANT_ROLLBACK, GRANT_FROZEN, LEASE_EXPIRED. WIPED, if the
                office had an order to wipe it; ORDER_PENDING, if it has one that this device cannot fetch. EVIDENCE, if
                what vouches for this device does not convince the server; ATTESTATION_NEEDED, if it must be enrolled
                anew to be vouched for. STEP_UP, if its user must sign in again and no `on_step_up` did; RESTRICTED,
                once what the office wants wiped is; RATE_LIMITED, with `retry_after`.
            IntegrityError: the answer, the file or a newer trust.json is not what the owners signed.
            UnreachableError: no connection, a wrong pin, an answer that is no answer.
            StoreError: DISK_FULL, LOCKED, STORE_DAMAGED, STORE_IO.
        """
        wanted = names.parse_reference(given.text(reference, "reference"))
        if progress is not None and not callable(progress):
            step = "give a function of two numbers, or None"
            raise InputError(Code.ARGUMENT, "progress cannot be called", next_step=step)
        return self._stepping_up(wanted.model, lambda: self._pulled(wanted, progress, fresh=fresh))

    def _pulled(self, wanted: Reference, progress: Progress | None, *, fresh: bool) -> Installed:
        identity = self.identity
        trust = self.refresh_trust()  # revoked keys and pins must not last until the old document expires
        line = self._line(device_key(self.store))
        tried = wiping.report(self.store, line, identity)
        try:
            return pull(self.store, line, trust, identity, wanted, progress=progress, fresh=fresh)
        except RefusedError as error:
            if error.code == Code.RESTRICTED:
                renew.fetch_last_orders(self.store, line, trust, identity, wanted, tried, error.reference)
            if error.code != Code.ORDER_PENDING:
                raise
        renew.fetch_orders(self.store, line, trust, identity, wanted, tried)
        return pull(self.store, line, trust, identity, wanted, progress=progress, fresh=fresh)

    def renew(self, reference: str) -> Installed:
        """Renew the lease of an installed model, and carry out what the office orders; nothing is fetched.

        Args:
            reference: "model", "model@channel" or "model@version".

        Raises:
            InputError: NAME.
            SetupError: NOT_ENROLLED, NOT_INSTALLED.
            DeniedError: the lease is not this device's any more, or its right to it is over.
            RefusedError: WIPED, if the office had it wiped; TRUST_EXPIRED, TRUST_VERSION, LEASE_EXPIRED,
                ORDER_EXPIRED, ORDER_PENDING; EVIDENCE, ATTESTATION_NEEDED, STEP_UP, RESTRICTED and RATE_LIMITED, as
                `pull`.
            IntegrityError: the answer, an order in it or a newer trust.json is not signed by who may; ORDER_MISMATCH.
            UnreachableError: no connection, a wrong pin, an answer that is no answer.
            StoreError: DISK_FULL, LOCKED, STORE_DAMAGED, STORE_IO.
        """
        wanted = names.parse_reference(given.text(reference, "reference"))
        return self._stepping_up(wanted.model, lambda: self._renewed(wanted, self._ways))

    def appeal(self, reference: str, text: str) -> str:
        """Say why this device, which the office has stopped, should be let in again; a person decides.

        Args:
            reference: of the refusal (`StrongroomError.reference`).
            text: what its user has to say, 1 to 500 characters.

        Returns:
            The office's name for the appeal.

        Raises:
            SetupError: NOT_ENROLLED.
            StrongroomError: as `appealing.appeal`, and as `refresh_trust`.
        """
        identity = self.identity
        self.refresh_trust()
        return appealing.appeal(self._line(device_key(self.store)), identity, reference, text)

    @contextlib.contextmanager
    def load(
        self, reference: str, *, offline: Literal["auto", "only"] = "auto", huge_pages: bool = False
    ) -> Iterator[Model]:
        """Open a model for the length of a `with` block; its plaintext is wiped at the end of it.

        A model that is here and within its lease opens without any network; once half of the time to the lease's end
        is over, renewing it is tried first, once and briefly. Otherwise it is pulled first, unless `offline` is "only".

        Args:
            reference: "model", "model@channel" or "model@version".
            offline: "auto", or "only" to never use the network.
            huge_pages: ask for huge pages: faster where memory is really there, slower on some virtual machines.

        Raises:
            RefusedError: LEASE_EXPIRED, if the lease is over and the server cannot be reached; CLOCK likewise.
                WIPED, if it was wiped by order: only `pull` asks for it anew.
            StrongroomError: as `pull`, and as `opening.open_installed`.
        """
        wanted = names.parse_reference(given.text(reference, "reference"))
        if offline not in ("auto", "only"):
            raise InputError(Code.ARGUMENT, "offline is neither of its two words", next_step='say "auto" or "only"')
        with self._opened(wanted, may_pull=offline == "auto", huge=huge_pages) as model:
            yield model

    def verify(self) -> tuple[Verdict, ...]:
        """Open every installed model and compare every checksum; nothing is run, and nothing is written.

        Raises:
            SetupError: NOT_ENROLLED.
            StoreError: as `Store.read`. What is wrong with one install is in its verdict.
        """
        return tuple(verify(self.store, one) for one in self.store.need().installs)

    def refresh_trust(self) -> Trust:
        """Fetch newer trust documents and follow them, one signed step at a time.

        Raises:
            UnreachableError: no connection, or an answer that is no answer.
            IntegrityError, RefusedError: the chain does not hold; the old document stays in force.
            StoreError: the device directory cannot be used.
        """
        return self._followed(self._ways)

    def _followed(self, ways: Ways) -> Trust:
        self._reload()
        base, pinned = self.trust, True
        try:
            documents = following.fetch(ways.to(base), base.version)
        except UnreachableError as error:
            pinned, documents = False, following.fetch_unpinned(self._unpinned, base, error)
        if documents:
            self._use(following.adopt(self.store, base, documents))
        return self.trust if pinned else self._followed(ways)  # whoever has no pin may hold the newest back

    def close(self) -> None:
        """Close idle connections; the room may be used again."""
        self._ways.close()
        self._hasty_ways.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Room({self.trust.server!r}, home={str(self.store.home)!r})"

    def _opened(self, wanted: Reference, *, may_pull: bool, huge: bool) -> Model:
        if not self._cleaned:  # here, so that a room that is only looked at writes nothing
            self.store.clean()
            self._cleaned = True
        state = self._reload()
        if may_pull and state is not None:
            self._beat(state, wanted)
        try:
            return open_installed(self.store, wanted, self._tick, huge=huge)
        except StrongroomError as error:
            if not may_pull or error.code not in _HEALED_BY_PULLING:
                raise
            first = error
        try:
            self.pull(str(wanted))
        except UnreachableError as error:
            if isinstance(first, RefusedError):
                raise RefusedError(first.code, first.what, where=first.where, next_step=first.next_step) from error
            raise
        return open_installed(self.store, wanted, self._tick, huge=huge)

    def _beat(self, state: State, wanted: Reference) -> None:
        """Renew before opening, if that is due: once, briefly, and only an order to wipe is a reason not to open."""
        install, uptime = state.find(wanted), self.store.clocks().boot
        if install is None or uptime < self._quiet_until:
            return
        words: tuple[str, ...] = ()
        try:
            if renew.due(self.store, state, install):
                with self.store.pulling(patience=0):
                    words = self._renewed(wanted, self._hasty_ways).reactions
        except StrongroomError as error:
            if error.code == Code.WIPED:
                raise
            self._quiet_until = uptime + PAUSE
        self._callbacks.tell(words, wanted.model)

    def _renewed(self, wanted: Reference, ways: Ways) -> Installed:
        identity, trust = self.identity, self._followed(ways)
        return renew.renew(self.store, self._line(device_key(self.store), ways), trust, identity, wanted)

    def _tick(self) -> None:
        with contextlib.suppress(StrongroomError):  # the model is closed already; the next opening looks again
            self.store.tick()

    def _reload(self) -> State | None:
        """Take the store's document: another process may have followed trust further."""
        state = self.store.read()
        if state is not None:
            self._use(state.trust_document())
            self._token_watch.look(state.identity, self.store.clocks().wall)
        return state

    def _use(self, document: bytes) -> None:
        if document != self._document:
            self.trust, self._document = trust_of.read(document), document
            self.close()

    def _line(self, signer: Signer, ways: Ways | None = None) -> Line:
        line = Line((ways or self._ways).to(self.trust), self.trust.server, signer, self.store.clocks)
        line.attestor = attesting.to_ask(self.store.keystore, self._attestor)
        line.teller = self._teller
        return line
