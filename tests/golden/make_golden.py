"""Makes the golden files of a release, once: `python tests/golden/make_golden.py 0.1.0`.

What a release sealed must open for ever, so a folder is never written again. The keys in it are no secrets: they open
these files only, and belong to nobody.
"""

import io
import json
import sys
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from strongroom import canonical, sealed
from strongroom.signing import ED25519, ML_DSA_65, Principal, Role, SigningKey
from vectors.sealed_writer import fixed

FILES = {"model.onnx": fixed("golden", 20_000), "labels/naïve.txt": "chat\nchién\n".encode(), "empty": b""}
SUBJECT = sealed.Subject(None, "digits", "1.0", None)
DESCRIPTION = sealed.Description(
    format="onnx",
    runtimes=("onnx",),
    metadata={"classes": 10, "name": "Ziffern \u2013 \U0001f522"},
    licence="Apache-2.0",
)


def golden(suite: int, signers: list[SigningKey], mek: sealed.ModelKey) -> bytes:
    """Seal the files; a third owner is in the role and does not sign."""
    sink = io.BytesIO()
    sources = [sealed.Source.of_bytes(path, data) for path, data in FILES.items()]
    how = {"epoch": 2, "counter": 7, "description": DESCRIPTION, "suite": suite, "segment_size": 2**20}
    sealed.seal(sources, sink, mek=mek, subject=SUBJECT, signers=signers, **how)
    return sink.getvalue()


def local_form(data: bytes, mek: sealed.ModelKey, key: sealed.ModelKey, owners: Role) -> bytes:
    """Seal the same again as a device does."""
    readable = sealed.BytesReadable(data)
    expected = sealed.Expected(sealed.MODEL, SUBJECT, owners)
    opened = sealed.open_sealed(readable, mek, expected)
    unlocked = sealed.unlock(opened.head, mek, expected)
    writer = sealed.start_local(unlocked, opened.toc, opened.toc.encode(), key, SUBJECT)
    return writer.head_part + writer.first + writer.seal_segment(1, opened.payload)


def facts(head: sealed.Head, toc: sealed.TableOfContents) -> dict:
    """Return what must come out."""
    files = [one.to_value() for one in toc.files]
    return {"head": head.digest.hex(), "kind": head.core.kind, "suite": head.suite, "files": files}


def everything() -> dict[str, bytes]:
    """Return each file of a folder by its name."""
    one, old, new, third = (SigningKey.generate(alg) for alg in (ED25519, ED25519, ML_DSA_65, ED25519))
    principals = (Principal((one.public,)), Principal((old.public, new.public)), Principal((third.public,)))
    owners = Role(2, principals)
    files: dict[str, bytes] = {"owners.json": canonical.encode(owners.to_value()) + b"\n"}
    expected: dict = {"subject": SUBJECT.to_value(), "description": asdict(DESCRIPTION), "epoch": 2, "counter": 7}
    for name, suite in (("model", 1), ("model-suite-2", 2)):
        mek, key = sealed.ModelKey.generate(), sealed.ModelKey.generate()
        data = golden(suite, [one, old, new], mek)
        local = local_form(data, mek, key, owners)
        opened = sealed.open_sealed(sealed.BytesReadable(data), mek, sealed.Expected(sealed.MODEL, SUBJECT, owners))
        expected[f"{name}.srm"] = facts(opened.head, opened.toc)
        head = sealed.read_head(sealed.BytesReadable(local))
        expected[f"{name}-local.srm"] = facts(head, opened.toc) | {"origin_head": opened.head.digest.hex()}
        for path, data_of, secret in ((name, data, mek), (f"{name}-local", local, key)):
            files[f"{path}.srm"] = data_of
            files[f"{path}.mek"] = canonical.to_base64url(bytes(secret.reveal())).encode() + b"\n"
    files["expected.json"] = json.dumps(expected, indent=1, sort_keys=True).encode() + b"\n"
    return files


if __name__ == "__main__":
    folder = Path(__file__).parent / sys.argv[1]
    folder.mkdir()  # fails if the release has its files: they are never made again
    for file_name, content in everything().items():
        (folder / file_name).write_bytes(content)
