"""Whom a state is kept about."""

from enum import StrEnum
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple


class Kind(StrEnum):
    """Kinds of entities."""

    USER = "user"  # a person or a robot; not the customer's account, which may have many users
    KEY = "key"  # a device key, or "~" and the device id where there is no key
    ID = "id"  # what a device calls itself
    BUILD = "build"  # a build of the app, or a version of a model
    NETWORK = "network"
    ALL = "all"

    __hash__ = str.__hash__  # the enum's own is written in Python; entities are hashed five times an event


class Entity(NamedTuple):
    """One bearer of a state."""

    kind: Kind
    name: str

    def row(self) -> bytes:
        """Return the 16 bytes that stand for it in a table."""
        return blake2b(f"{self.kind.value}\0{self.name}".encode("utf-8", "surrogatepass"), digest_size=16).digest()

    def __str__(self) -> str:
        return f"{self.kind.value}:{self.name}"


def app_build(ver: str | None) -> Entity:
    """Return what `ver` names: the build of the app, as far as events go that name no model."""
    return Entity(Kind.BUILD, ver or "")


def model_build(model: str, ver: str | None) -> Entity:
    """Return the version of a model, which stands for a build where `ver` is not the app's."""
    return Entity(Kind.BUILD, f"{ver or ''}\0{model}")


EVERYTHING = Entity(Kind.ALL, "")


@lru_cache(maxsize=131_072)
def tag(name: str) -> int:
    """Return 32 bits that stand for a name inside a state.

    Two names with one tag count as one: with 8 to 11 entries a list that costs nothing by chance. On purpose it takes
    2**32 tries; lists of less worth keep 16 bits of it.
    """
    return int.from_bytes(blake2b(name.encode("utf-8", "surrogatepass"), digest_size=4).digest(), "big")
