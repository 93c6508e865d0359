"""A sealed file drawn in plain characters: its parts in their order, where each begins and how long it is.

Drawn from the head alone, so it is as true as the head is; nothing of it is checked.
"""

from typing import TYPE_CHECKING

from strongroom.cli import printing

if TYPE_CHECKING:
    from strongroom.sealed import Head

_SHOWN = 4  # segments drawn before the rest is counted; with the remarks a line has at most 80 characters
_WIDTH = 20  # of the box
_RULE = "+" + "-" * _WIDTH + "+"
_COVERED = {  # by whether others made the file
    True: (
        "MAC and signatures cover core header and manifest; the manifest covers every",
        "segment; segment 0 covers every file.",
    ),
    False: (
        "The MAC covers the core header; this device's key alone makes segments.",
        "Segment 0 holds the head that the owners signed.",
    ),
}
_Row = tuple[str, int, int, str]  # name, offset, bytes, remark


def draw(head: "Head") -> list[str]:
    """Return the drawing, line by line."""
    from strongroom.canonical import to_base64url
    from strongroom.sealed import SUITES

    core = head.core
    lines = [
        f"{core.kind}, epoch {core.epoch}, counter {core.counter}, {printing.size(head.file_size)}",
        f"{'suite':<7} {head.suite} ({SUITES[head.suite].name})",
        f"{'file id':<7} {to_base64url(core.file_id)}",
        *(
            f"{name:<7} {to_base64url(link.file_id)}"
            for name, link in (("base", core.base), ("origin", core.origin))
            if link is not None
        ),
        "",
        f"{'offset':>13}  {'':{_WIDTH + 2}}  {'size':>10}",
        f"{'':>13}  {_RULE}",
    ]
    for group in (_head_rows(head), [_contents_row(head)], _payload_rows(head)):
        for name, offset, size, remark in group:
            lines.append(f"{offset:>13}  |{' ' + name:<{_WIDTH}}|  {printing.size(size):>10}  {remark}".rstrip())
        if group:
            lines.append(f"{'':>13}  {_RULE}")
    lines[-1] = f"{head.file_size:>13}  {_RULE}"
    return [*lines, "", *_COVERED[core.origin is None], "", *_signature_lines(head)]


def _head_rows(head: "Head") -> list[_Row]:
    from strongroom.sealed import PREAMBLE_SIZE, read_preamble

    preamble = read_preamble(head.head_part)
    digests = _counted(len(head.digests), "digest")
    manifest = f"{digests}, one a segment" if head.digests else "none: a device's own copy"
    parts = (
        ("preamble", PREAMBLE_SIZE, f"version 1, suite {head.suite}"),
        ("core header", preamble.core, "what it is, in the clear"),
        ("manifest", preamble.manifest, manifest),
        ("MAC", len(head.mac), "made with the model key"),
        ("signatures", preamble.signatures, _counted(len(head.signatures), "signature")),
    )
    rows, offset = [], 0
    for name, size, remark in parts:
        rows.append((name, offset, size, remark))
        offset += size
    return rows


def _counted(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"


def _contents_row(head: "Head") -> _Row:
    remark = "encrypted: names of the files"
    return "segment 0 contents", head.offset(0), head.stored_length(0), remark


def _payload_rows(head: "Head") -> list[_Row]:
    last = head.segment_count - 1
    shown = range(1, last + 1) if last <= _SHOWN + 1 else (*range(1, _SHOWN), last)
    rows: list[_Row] = []
    before = 0
    for index in shown:
        if index != before + 1:
            between = sum(head.stored_length(one) for one in range(before + 1, index))
            each = printing.size(head.plain_length(before + 1))
            rows.append(("...", head.offset(before + 1), between, f"{before + 1} to {index - 1}, {each} in each"))
        remark = f"encrypted: {printing.size(head.plain_length(index))} inside"
        rows.append((f"segment {index}", head.offset(index), head.stored_length(index), remark))
        before = index
    return rows


def _signature_lines(head: "Head") -> list[str]:
    if not head.signatures:
        return ["signed by nobody" if head.core.origin is None else "not signed: it carries its origin's signatures"]
    lines = ["says it is signed by (`strongroom file verify` finds out):"]
    return lines + [f"  {one.alg:<10}  {one.key}" for one in head.signatures]
