"""What lies where, looked at and not assumed."""

from pathlib import Path

from strongroom.cli.demo.scene import Scene
from strongroom.cli.demo.show import Place

BLOCK = 64  # bytes compared at a time when two ciphertexts of one model are laid side by side


def take(scene: Scene, plaintext: int) -> list[Place]:
    """Look into every place; `plaintext` is the model's size in bytes."""
    (stored,) = scene.objects
    local = next((scene.ada.home / "models").rglob("*.srm"))
    keys = list((scene.ada.home / "keystore").iterdir())
    database = scene.office / "database" / "strongroom.db"
    keyring = scene.office / "keys" / "keyring.json"
    same = "equal to the desk's" if stored.read_bytes() == scene.sealed.read_bytes() else "NOT WHAT WAS SEALED"
    shared = in_common(stored.read_bytes(), local.read_bytes())
    return [
        Place("publisher's desk", f"desk/{scene.sealed.name}", "ciphertext; its key was wiped", _size(scene.sealed)),
        Place("bucket", f"objects/{stored.name[:8]}…", f"ciphertext, {same}; random name", _size(stored)),
        Place("database", database.name, "names, hashes, the key wrapped by the vault", _size(database)),
        Place("vault", keyring.name, "the office's keys, sealed by a key file", _size(keyring)),
        Place(
            "device, disk",
            f"models/{local.parent.name[:8]}…/{local.name}",
            f"ciphertext under a local key, {shared} blocks as in the bucket",
            _size(local),
        ),
        Place(
            "device, keystore", f"{len(keys)} key files", "0600, the weak kind, and it says so", sum(map(_size, keys))
        ),
        Place("device, memory", "one private buffer", "plaintext, inside the with block only", plaintext),
    ]


def in_common(one: bytes, other: bytes) -> int:
    """Count the blocks of one ciphertext that stand anywhere in the last three quarters of another."""
    blocks = {one[at : at + BLOCK] for at in range(len(one) // 4, len(one) - BLOCK, BLOCK)}
    return sum(other[at : at + BLOCK] in blocks for at in range(len(other) // 4, len(other) - BLOCK))


def _size(path: Path) -> int:
    return path.stat().st_size
