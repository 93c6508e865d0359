"""Vectors that open: every boundary of a chunk and of a segment, many files, both suites, who may have signed."""

from vectors.ed25519_points import EIGHTH, MIXED, signing, times
from vectors.sealed_signers import b64, fixed
from vectors.sealed_writer import CHUNK, MIB, Case, Plan, success

LINK = {"file_id": b64(fixed("base id", 32)), "head": b64(fixed("base head", 64))}
THREE = ("first", "second", "third")
HYBRID = "first+pq first"


def sizes() -> list[Case]:
    """Return models of every length at which something ends."""
    small = (0, 1, CHUNK - 1, CHUNK, CHUNK + 1)
    suite_2 = [(f"chacha-{size}", Plan(f"chacha-{size}", suite=2), f"chacha {size}", size) for size in small]
    suite_1 = [(f"bytes-{size}", Plan(f"bytes-{size}"), f"payload {size}", size) for size in (*small, MIB - 1, MIB)]
    named = [*suite_1, ("two-segments", Plan("two-segments"), "large", MIB + 1), *suite_2]
    named.append(("chacha-segments", Plan("chacha-segments", suite=2), "chacha", MIB + 1))
    cases = []
    for _, plan, label, size in named:
        plan.files = [("model", fixed(label, size))]
        cases.append(success(plan, f"suite {plan.suite}, a model of {size} bytes"))
    return cases


def contents() -> list[Case]:
    """Return files whose tables of contents are legal in every unusual way."""
    several = [("model.onnx", fixed("a", 300)), ("labels/names.txt", b"cat\ndog\n"), ("empty", b"")]
    named = [("mod\u00e8le-\u6a21\u578b.bin", fixed("b", 40))]
    described = {
        "format": "onnx",
        "licence": "Apache-2.0",
        "metadata": {"classes": 10, "name": "Ziffern \u2013 \U0001f522"},
        "overlayable": ["head.weight"],
        "runtimes": ["onnx"],
    }
    nested = ["a/b/c/d/e/f/g/model", "a/b/c/labels", "a/b.c", "a/b-c/d", "readme"]
    strange = [
        "\U0001f680/\U0001f469\u200d\U0001f52c.bin",  # emoji, one of them joined of several
        "\ud55c\uae00",  # syllables, which NFC leaves alone
        "\u0378",  # assigned by no version of Unicode yet
        "\u0131",  # a small i without its dot is not the twin of an i
        "i",
        "con1",
        "com",
        "nul_",
        ".hidden",
        "a b",
        "\u00e9" * 500,
    ]
    full = {
        "format": "a" * 40,
        "licence": "\u00e9" * 200,
        "metadata": {f"k{number}": number for number in range(63)} | {"text": "\U0001f522" * 1024},
        "overlayable": ["\U0001f522" * 256, "w"],
        "runtimes": [f"runtime-{number}" for number in range(16)],
    }
    spellings = {
        "constructor": 2**53 - 1,
        "hasownproperty": 1 - 2**53,
        "k10": 0,
        "k9": -1,
        "text": "\"\\/\b\f\n\r\t\0\x7f\x80\u2028\uffff\U0010ffff <&>'",
        "tostring": "",
    }
    return [
        success(Plan("several-files", several), "three files, one of them empty"),
        success(Plan("many-files", [(f"part-{number:03}", bytes([number])) for number in range(250)]), "250 files"),
        success(Plan("only-empty-files", [("a", b""), ("b/c", b"")]), "two files and not one byte"),
        success(Plan("nested", [(path, path.encode()) for path in nested]), "directories in directories"),
        success(Plan("described", named, toc=described), "a description, and names beyond ASCII"),
        success(Plan("strange-names", [(path, b"x") for path in strange]), "names that only look forbidden"),
        success(Plan("path-1024", [("\u00e9" * 512, b"x")]), "a path of 1,024 bytes in 512 letters"),
        success(Plan("described-in-full", toc=full), "every list and text of the description as long as it may be"),
        success(Plan("spellings", toc={"metadata": spellings}), "integers at their ends, and every kind of escape"),
    ]


def kinds() -> list[Case]:
    """Return files of the kinds that are delivered, and heads at their limits."""
    return [
        success(Plan("overlay", kind="overlay", core={"base": LINK}), "an overlay names its base", kind="overlay"),
        success(Plan("delta", kind="delta", core={"base": LINK}), "a delta names its base", kind="delta"),
        success(
            Plan("chacha-overlay", suite=2, kind="overlay", core={"base": LINK}),
            "an overlay of suite 2",
            kind="overlay",
        ),
        success(Plan("for-one-user", subject=["ac_customer", "digits", "1.0", "us_anna"]), "sealed for one user"),
        success(Plan("for-all-accounts", subject=[None, "digits", "1.0", None]), "sealed for every account"),
        success(Plan("large-segments", segment_size=2**26), "the largest segment size, a small model"),
        success(Plan("late", core={"epoch": 2**53 - 1, "counter": 2**53 - 1}), "the last version there can be"),
        success(
            Plan("extension", core={"hint": {"any": ["thing"]}}), "an unknown field that is not critical is ignored"
        ),
        success(
            Plan("extension-deep", core={"constructor": [[[[[[[1]]]]]]], "text": "\x7f\U0001f522"}),
            "eight levels, and a name that an object of JavaScript has already",
        ),
    ]


def signers() -> list[Case]:
    """Return files that enough owners signed."""
    crowd = ("first", *(f"stranger {number}" for number in range(63)))
    three = {"owners": THREE}
    return [
        success(
            Plan("two-of-three", signers=("third", "stranger", "first")),
            "two owners of three signed, and a stranger, who changes nothing",
            **three,
            threshold=2,
        ),
        success(Plan("one-of-three", signers=("second",)), "one owner of three signed, one is enough", **three),
        success(Plan("three-of-three", signers=THREE), "all three owners signed", **three, threshold=3),
        success(
            Plan("chacha-two-of-two", suite=2, signers=THREE[:2]), "suite 2, two owners", owners=THREE[:2], threshold=2
        ),
        success(Plan("signatures-64", signers=crowd), "as many signatures as there may be, one of them an owner's"),
        success(Plan("hybrid", signers=("first", "pq first")), "an owner with two keys, both signed", owners=(HYBRID,)),
        success(Plan("ml-dsa", signers=("pq first",)), "an owner with a key of ML-DSA-65 alone", owners=("pq first",)),
        success(
            Plan("hybrid-and-one", signers=("pq first", "second", "first")),
            "an owner with two keys and one with one, both needed",
            owners=(HYBRID, "second"),
            threshold=2,
        ),
        success(
            Plan("hybrid-not-needed", signers=("first", "second")),
            "an owner with two keys signed with one, and another owner is enough",
            owners=(HYBRID, "second"),
        ),
        success(
            Plan("ed25519-mixed-key", signers=(MIXED,), sign=signing(lambda hashed: hashed % 8 == 0)),
            "a key with a part of order 8 that does not come into play: the equation without the cofactor holds",
            owners=(MIXED,),
        ),
        success(
            Plan(
                "ed25519-parts-cancel",
                signers=(MIXED,),
                sign=signing(lambda hashed: hashed % 8 == 5, extra=times(3, EIGHTH)),
            ),
            "key and R with parts of order 8 that cancel each other: the equation without the cofactor holds",
            owners=(MIXED,),
        ),
    ]


def opening() -> list[Case]:
    """Return files that open."""
    return [*sizes(), *contents(), *kinds(), *signers()]
