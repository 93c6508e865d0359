"""No runtime at all: the model's own bytes, read-only, for whatever the caller does with them."""

from collections.abc import Mapping

from strongroom.errors import Code, InputError


def only_file(files: Mapping[str, memoryview]) -> memoryview:
    """Return the bytes of a model of one file.

    Raises:
        InputError: PATH, if it has several.
    """
    if len(files) != 1:
        what = f"the model has {len(files)} files"
        raise InputError(Code.PATH, what, next_step="name one: model.file(path), of model.files")
    return next(iter(files.values()))
