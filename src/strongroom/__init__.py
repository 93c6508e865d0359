"""strongroom delivers ML models to devices their owner does not control, and keeps them protected.

The device and the publisher, in a few lines each:

    room = strongroom.connect("https://models.example.com", token=my_token)    # the device
    with room.load("digits@stable") as model:
        session = model.session()

    strongroom.protect("model.onnx", name="digits", version="1.0", …)          # the publisher
"""

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` for it takes longer than all else here

if TYPE_CHECKING:
    from typing import Any

    from strongroom.edge.client import connect
    from strongroom.operator.protect import protect

__version__ = "0.1.0"
__all__ = ["__version__", "connect", "protect"]


def __getattr__(name: str) -> "Any":  # noqa: ANN401 - a module's attributes have any type
    """Import the two verbs when they are first used: `import strongroom` itself costs nothing."""
    if name == "connect":
        from strongroom.edge.client import connect  # noqa: PLC0415 - see above

        return connect
    if name == "protect":
        from strongroom.operator.protect import protect  # noqa: PLC0415 - see above

        return protect
    raise AttributeError(f"module 'strongroom' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), "connect", "protect"])
