"""Evidence of a TPM 2.0: a quote over its registers for one request, and two keys in one chip at enrolment.

The evidence is one JSON object of lower-case hexadecimal values (docs/spec/protocol.md section 17).
"""

import json
import logging
from collections.abc import Sequence

from strongroom.edge.evidence import Activate, Requested, TwoKeys
from strongroom.edge.keystore.tpm import TpmKeystore
from strongroom.edge.tpm.chip import Quote, Tpm, selected
from strongroom.edge.tpm.endorsement import MAX_CERTIFICATES
from strongroom.edge.tpm.objects import Blob
from strongroom.errors import Code, InputError, SetupError
from strongroom.sealed.wiping import wipe
from strongroom.wire.messages import Evidence

KIND = "tpm"
REGISTERS = tuple(range(8))  # firmware, its configuration, boot loader and Secure Boot (TCG PC Client Profile)
BANK = "sha256"
_log = logging.getLogger(__name__)


class TpmAttestor:
    """The TPM that keeps this device's keys also says what it is.

    Args:
        keystore: of this device.
        registers: that are quoted: at least those that any policy names. `enrolled` notes them; without any, those that
            were noted are quoted, else REGISTERS of BANK.
        bank: of the registers.
        issuers: certificates between the endorsement key's and the maker's root, DER, where the TPM holds none itself.

    Raises:
        InputError: ARGUMENT, if there are no such registers.
    """

    kind = KIND

    def __init__(
        self,
        keystore: TpmKeystore,
        registers: Sequence[int] = (),
        bank: str = BANK,
        issuers: Sequence[bytes] = (),
    ) -> None:
        self._keystore = keystore
        if registers:
            selected(registers, bank)
        self._registers = tuple(registers)
        self._bank = bank
        self._issuers = tuple(issuers)
        self._prepared: tuple[Blob, TwoKeys] | tuple[()] | None = None

    def prepare(self) -> None:
        """Do before an enrolment what takes a chip seconds: its office's challenge is good for a minute.

        Raises:
            InputError: ARGUMENT, if its certificates and the issuers are more than an office reads.
            SetupError, StoreError: of the TPM.
        """
        with self._keystore.opened() as tpm:
            held = tpm.ek_certificates()
            certificates, public = self._with_issuers(held), tpm.ek_public() if held else b""
        if held:
            key = self._keystore.make_attestation_key()
            self._prepared = key, TwoKeys(certificates, public, key.public)
            return
        _log.warning("the TPM holds no certificate: it keeps this device's keys, and vouches for nothing")
        self._prepared = ()

    def enrol(self, binding: bytes, activate: Activate) -> tuple[Evidence, ...]:
        """Make the attestation key if there is none, have it activated, and quote; () where no maker certified the TPM.

        Raises:
            InputError, SetupError, StoreError: as `prepare`.
            IntegrityError: SHAPE or SEALED_KEY, if the office's credential is not for this TPM.
            StrongroomError: as `activate`.
        """
        if self._prepared is None:
            self.prepare()
        prepared, self._prepared = self._prepared, None
        if not prepared:
            return ()
        key, keys = prepared
        credential = activate(keys)  # no connection is held while the office thinks
        with self._keystore.opened() as tpm:
            activation = tpm.activate(key, credential)
            try:
                extra: dict[str, object] = {
                    "ek_certificates": [one.hex() for one in keys.ek_certificates],
                    "ek_public": keys.ek_public.hex(),
                    "activation": activation.hex(),  # the office has it already: it drew it
                }
                return (self._evidence(key, self._quote(tpm, key, binding), extra),)
            finally:
                wipe(activation)

    def enrolled(self) -> None:
        """Note by which key what is quoted from now on: the office took it. Raises SetupError, StoreError."""
        self._keystore.keep_attestation_key()
        if self._registers:
            self._keystore.note_quoted(self._registers, self._bank)

    def refused(self) -> None:
        """Destroy the attestation key unless an office took it before. Raises StoreError."""
        self._keystore.drop_new_attestation_key()

    def forget(self) -> None:
        """Destroy the attestation key: no office asks for it. Raises StoreError."""
        self._keystore.forget_attestation_key()

    def request(self, expected: Requested) -> tuple[Evidence, ...]:
        """Quote for a request.

        Raises:
            SetupError: NOT_ENROLLED, if the device was not enrolled with its TPM; else of the TPM.
            StoreError: of the TPM.
        """
        key = self._key()
        with self._keystore.opened() as tpm:
            return (self._evidence(key, self._quote(tpm, key, expected.binding), {}),)

    def open_credential(self, credential: bytes) -> bytearray:
        """Open the credential of a grant; the caller wipes what was in it.

        Raises:
            IntegrityError: SHAPE or SEALED_KEY, if it was made for another TPM or key, or changed.
            SetupError, StoreError: as `request`.
        """
        key = self._key()
        with self._keystore.opened() as tpm:
            return tpm.activate(key, credential)

    def _key(self) -> Blob:
        key = self._keystore.attestation_key()
        if key is None:
            step = "enrol this device anew: `strongroom enrol --tpm ADDRESS`"
            raise SetupError(Code.NOT_ENROLLED, "the TPM of this device was never attested", next_step=step)
        return key

    def _with_issuers(self, held: tuple[bytes, ...]) -> tuple[bytes, ...]:
        found = (*held, *(one for one in self._issuers if one not in held))
        if len(found) > MAX_CERTIFICATES:
            what = f"{len(found)} certificates of the TPM and its issuers"
            step = f"give those that lie between its own and the maker's root, at most {MAX_CERTIFICATES} with its own"
            raise InputError(Code.ARGUMENT, what, next_step=step)
        return found

    def _quote(self, tpm: Tpm, key: Blob, binding: bytes) -> Quote:
        own = (self._registers, self._bank) if self._registers else self._keystore.quoted()
        registers, bank = own or (REGISTERS, BANK)
        return tpm.quote(key, binding, registers, bank)

    def _evidence(self, key: Blob, quote: Quote, extra: dict[str, object]) -> Evidence:
        value = {
            "ak_public": key.public.hex(),
            "attest": quote.attest.hex(),
            "signature": quote.signature.hex(),
            "pcrs": {quote.bank: {str(number): digest.hex() for number, digest in quote.pcrs.items()}},
            **extra,
        }
        return Evidence(KIND, json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii"))
