"""What a TPM says when it will not: response codes in words (Part 2, section 6.6)."""

from strongroom.errors import Code, SetupError, StoreError, StrongroomError

SUCCESS = 0x000
INITIALIZE = 0x100
FAILURE = 0x101
AUTH_MISSING = 0x125
SEALED = 0x128  # TPM_RC_PCR_CHANGED
NV_UNINITIALIZED, NV_SPACE, NV_DEFINED = 0x14A, 0x14B, 0x14C
OBJECT_MEMORY, SESSION_MEMORY, MEMORY, SESSION_HANDLES, OBJECT_HANDLES = 0x902, 0x903, 0x904, 0x905, 0x906
YIELDED, TESTING, LOCKOUT, RETRY, NV_RATE = 0x908, 0x90A, 0x921, 0x922, 0x920
# of format one, without the number of what they are about
VALUE, HANDLE, AUTH_FAIL, SIZE, INSUFFICIENT = 0x084, 0x08B, 0x08E, 0x095, 0x09A
POLICY_FAIL, INTEGRITY, BAD_AUTH, POINT = 0x09D, 0x09F, 0x0A2, 0x0A7

NO_ROOM = frozenset({OBJECT_MEMORY, SESSION_MEMORY, MEMORY, SESSION_HANDLES, OBJECT_HANDLES})
AGAIN = frozenset({YIELDED, TESTING, RETRY, NV_RATE})
POLICY = frozenset({POLICY_FAIL, SEALED})

_WORDS = {
    INITIALIZE: "it has not been started since the machine was turned on",
    FAILURE: "it has failed its own test and does nothing any more",
    0x120: "what was asked for is switched off in it",
    AUTH_MISSING: "a needed authorisation is missing",
    SEALED: "the machine's registers changed meanwhile",
    0x12F: "it gives that only under the policy it was made with",
    0x143: "it does not know this command",
    0x147: "its memory allows no access to that place",
    0x149: "a place of its memory is not given to us",
    NV_UNINITIALIZED: "that place of its memory was never written",
    NV_SPACE: "its permanent memory is full",
    NV_DEFINED: "that place of its memory is in use already",
    OBJECT_MEMORY: "it has no room for another object",
    SESSION_MEMORY: "it has no room for another session",
    MEMORY: "it has no room",
    SESSION_HANDLES: "it has no session left",
    OBJECT_HANDLES: "it has no handle left",
    YIELDED: "it is busy",
    TESTING: "it is testing itself",
    NV_RATE: "its permanent memory is written too often",
    LOCKOUT: "it is locked: too many wrong authorisations were tried (dictionary attack protection)",
    RETRY: "it is busy",
    0x923: "its permanent memory cannot be used now",
    0x081: "it does not know an algorithm",
    0x082: "attributes do not fit together",
    0x083: "it does not know a hash algorithm",
    VALUE: "a value is out of range",
    0x085: "a hierarchy is switched off or wrong",
    HANDLE: "there is no such object in it",
    AUTH_FAIL: "an authorisation is wrong, and it counts that (dictionary attack protection)",
    0x092: "a scheme is unknown to it",
    SIZE: "a structure has a wrong size",
    INSUFFICIENT: "a structure ends too early",
    POLICY_FAIL: "what must hold for this does not hold (policy check)",
    INTEGRITY: "these bytes were not made by this TPM, or were changed (integrity check)",
    0x0A1: "a session or ticket is over",
    BAD_AUTH: "an authorisation is wrong: a hierarchy may have a password",
    0x0A6: "a curve is unknown to it",
    POINT: "a point is not on its curve",
}


def bare(code: int) -> int:
    """Return a response code without the number of the handle, parameter or session that it is about."""
    return code & 0x0BF if code & 0x080 else code & 0xFFF


def words(code: int) -> str:
    """Say what a response code means."""
    text = _WORDS.get(bare(code), "it refused")
    if not code & 0x080:
        return text
    number = code >> 8 & 0xF
    kind = "parameter" if code & 0x040 else "session" if number & 8 else "handle"
    place = number if kind == "parameter" else number & 7
    return f"{text}; {kind} {place}" if place else text


class TpmError(StoreError):
    """A TPM refused a command.

    Attributes:
        response: its response code.
    """

    def __init__(self, response: int, command: str, where: str) -> None:
        what = f"the TPM refused {command}: {words(response)} (response {response:#05x})"
        code = Code.LOCKED if bare(response) == LOCKOUT else Code.STORE_IO
        super().__init__(code, what, where=where, next_step=_step(response))
        self.response = response

    @property
    def bare(self) -> int:
        """The response code without its number."""
        return bare(self.response)


def refused(response: int, command: str, where: str) -> StrongroomError:
    """Return the error of a refused command: the operator's if the TPM was never started, else the machine's."""
    if response == INITIALIZE:
        what = f"the TPM refused {command}: {words(response)} (response {response:#05x})"
        step = "see that the firmware or the kernel starts it; `tpm2_startup -c` does by hand"
        return SetupError(Code.CONFIG, what, where=where, next_step=step)
    return TpmError(response, command, where)


def _step(response: int) -> str:
    plain = bare(response)
    if plain == LOCKOUT:
        return "wait as long as its lockout lasts, or lift it with `tpm2_dictionarylockout --clear-lockout`"
    if plain == NV_SPACE:
        return "take out what nobody needs: `tpm2_getcap handles-nv-index`, then `tpm2_nvundefine` with one of them"
    if plain in NO_ROOM:
        return "end the program that left objects in it, or use /dev/tpmrm0, which makes room"
    if plain in {BAD_AUTH, AUTH_MISSING}:
        return "a TPM whose owner or endorsement hierarchy has a password cannot be used yet"
    return ""
