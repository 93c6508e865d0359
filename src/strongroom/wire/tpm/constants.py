"""Numbers of the TPM 2.0 Library, Part 2 "Structures", revision 1.38; the section of each table stands beside it."""

from enum import IntEnum, IntFlag

GENERATED = 0xFF544347  # TPM_GENERATED_VALUE, 6.2: in front of everything that a TPM made inside and signs
RSA_EXPONENT = 65_537  # what an exponent of 0 means, 12.2.3.5


class Alg(IntEnum):
    """TPM_ALG_ID, 6.3."""

    RSA = 0x0001
    SHA1 = 0x0004
    HMAC = 0x0005
    AES = 0x0006
    KEYEDHASH = 0x0008
    XOR = 0x000A
    SHA256 = 0x000B
    SHA384 = 0x000C
    SHA512 = 0x000D
    NULL = 0x0010
    RSASSA = 0x0014
    RSAES = 0x0015
    RSAPSS = 0x0016
    OAEP = 0x0017
    ECDSA = 0x0018
    ECDH = 0x0019
    ECDAA = 0x001A
    ECSCHNORR = 0x001C
    KDF1_SP800_56A = 0x0020
    KDF1_SP800_108 = 0x0022
    ECC = 0x0023
    SYMCIPHER = 0x0025
    CTR = 0x0040
    CFB = 0x0043


class Curve(IntEnum):
    """TPM_ECC_CURVE, 6.4."""

    P256 = 0x0003
    P384 = 0x0004


class Command(IntEnum):
    """TPM_CC, 6.5.2."""

    NV_UNDEFINE_SPACE = 0x0122
    EVICT_CONTROL = 0x0120
    CLEAR = 0x0126
    NV_DEFINE_SPACE = 0x012A
    CREATE_PRIMARY = 0x0131
    NV_INCREMENT = 0x0134
    NV_EXTEND = 0x0136
    NV_WRITE = 0x0137
    PCR_RESET = 0x013D
    STARTUP = 0x0144
    SHUTDOWN = 0x0145
    ACTIVATE_CREDENTIAL = 0x0147
    NV_READ = 0x014E
    POLICY_SECRET = 0x0151
    CREATE = 0x0153
    LOAD = 0x0157
    QUOTE = 0x0158
    SIGN = 0x015D
    UNSEAL = 0x015E
    FLUSH_CONTEXT = 0x0165
    LOAD_EXTERNAL = 0x0167
    MAKE_CREDENTIAL = 0x0168
    NV_READ_PUBLIC = 0x0169
    POLICY_AUTH_VALUE = 0x016B
    POLICY_COMMAND_CODE = 0x016C
    READ_PUBLIC = 0x0173
    START_AUTH_SESSION = 0x0176
    GET_CAPABILITY = 0x017A
    GET_RANDOM = 0x017B
    PCR_READ = 0x017E
    POLICY_PCR = 0x017F
    POLICY_RESTART = 0x0180
    PCR_EXTEND = 0x0182
    POLICY_GET_DIGEST = 0x0189


class Tag(IntEnum):
    """TPM_ST, 6.9."""

    NO_SESSIONS = 0x8001
    SESSIONS = 0x8002
    ATTEST_CERTIFY = 0x8017
    ATTEST_QUOTE = 0x8018
    ATTEST_CREATION = 0x801A
    CREATION = 0x8021
    HASHCHECK = 0x8024


class SessionType(IntEnum):
    """TPM_SE, 6.11."""

    HMAC = 0x00
    POLICY = 0x01
    TRIAL = 0x03


class Capability(IntEnum):
    """TPM_CAP, 6.12."""

    ALGS = 0
    HANDLES = 1
    PCRS = 5
    TPM_PROPERTIES = 6
    ECC_CURVES = 8


class Handle(IntEnum):
    """TPM_RH, 7.4."""

    OWNER = 0x40000001
    NULL = 0x40000007
    PASSWORD = 0x40000009
    LOCKOUT = 0x4000000A
    ENDORSEMENT = 0x4000000B
    PLATFORM = 0x4000000C


class Attribute(IntFlag):
    """TPMA_OBJECT, 8.3."""

    FIXED_TPM = 1 << 1
    ST_CLEAR = 1 << 2
    FIXED_PARENT = 1 << 4
    SENSITIVE_DATA_ORIGIN = 1 << 5
    USER_WITH_AUTH = 1 << 6
    ADMIN_WITH_POLICY = 1 << 7
    NO_DA = 1 << 10
    ENCRYPTED_DUPLICATION = 1 << 11
    RESTRICTED = 1 << 16
    DECRYPT = 1 << 17
    SIGN = 1 << 18  # TPMA_OBJECT_sign, called sign/encrypt too


class SessionAttribute(IntFlag):
    """TPMA_SESSION, 8.4."""

    CONTINUE = 1 << 0
    DECRYPT = 1 << 5
    ENCRYPT = 1 << 6


class NvAttribute(IntFlag):
    """TPMA_NV, 13.4; the type of the index stands in bits 4 to 7."""

    OWNER_WRITE = 1 << 1
    AUTH_WRITE = 1 << 2
    EXTEND = 4 << 4
    OWNER_READ = 1 << 17
    AUTH_READ = 1 << 18
    NO_DA = 1 << 25
    WRITTEN = 1 << 29


HASH_NAMES: dict[int, str] = {
    Alg.SHA1: "sha1",
    Alg.SHA256: "sha256",
    Alg.SHA384: "sha384",
    Alg.SHA512: "sha512",
}  # as hashlib has them
DIGEST_SIZES: dict[int, int] = {Alg.SHA1: 20, Alg.SHA256: 32, Alg.SHA384: 48, Alg.SHA512: 64}  # bytes
CURVE_SIZES: dict[int, int] = {Curve.P256: 32, Curve.P384: 48}  # bytes of one coordinate
