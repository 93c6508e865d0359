"""`strongroom decoy model` and `strongroom decoy mark`: make decoy models, and know them again."""

from pathlib import Path

import click

from strongroom.cli import printing
from strongroom.cli.lazy import Command
from strongroom.cli.options import PATH, json_option


@click.command(
    "model",
    cls=Command,
    examples=[
        "strongroom decoy model digits.onnx -o decoy.onnx",
        "strongroom decoy model speech/ -o decoy/ --damage 0.5 --key-file decoys.key",
    ],
)
@click.argument("source", metavar="SRC", type=PATH)
@click.option("-o", "--out", type=PATH, required=True, metavar="OUT", help="What to make; nothing is written over.")
@click.option(
    "--damage",
    type=click.FloatRange(0.1, 1.0),
    default=0.3,
    show_default=True,
    metavar="SHARE",
    help="How many of the numbers of each tensor change places, from 0.1 to 1.",
)
@click.option(
    "--key-file",
    "key",
    type=PATH,
    metavar="FILE",
    help="The key of the mark; made if it is not there. [default: OUT.key]",
)
@click.option("--as-is", multiple=True, metavar="PATH", help="A file of SRC to copy although it may hold weights.")
@json_option
def model(source: Path, out: Path, damage: float, key: Path | None, as_is: tuple[str, ...], *, as_json: bool) -> None:
    """Make a decoy from the model SRC: it opens and runs, is as large to the byte, and its weights are worth little.

    Weights are found in .onnx (also in the files beside it), .safetensors, .npy and .npz. A share of them changes
    places by a key, which is also the mark that `strongroom decoy mark` knows the decoy by. Keep the key; it is not for
    whoever gets OUT.
    """
    import os

    from strongroom.operator.decoy_mark import KEY_SIZE
    from strongroom.operator.decoy_model import decoy_key, make_decoy

    place = key or out.with_name(out.name + ".key")
    secret, new = decoy_key(place, os.urandom(KEY_SIZE))
    try:
        made = make_decoy(source, out, secret, share=damage, as_is=as_is)
    except BaseException:
        if new:  # nothing was ever marked with it
            place.unlink(missing_ok=True)
        raise
    shown = {
        "path": str(made.path),
        "key": str(place),
        "tensors": made.tensors,
        "numbers": made.numbers,
        "damaged": made.damaged,
        "copied": list(made.copied),
    }
    if as_json:
        printing.document(shown)
        return
    printing.fields([*list(shown.items())[:-1], ("copied as is", ", ".join(made.copied) or None)])
    printing.note("note: run both on your own data: the decoy's answers should be worse, and not absurd")


@click.command(
    "mark",
    cls=Command,
    examples=["strongroom decoy mark found.onnx --key-file decoy.onnx.key --key-file other.key"],
)
@click.argument("path", type=PATH)
@click.option("--key-file", "keys", type=PATH, required=True, multiple=True, metavar="FILE", help="The key of a decoy.")
@json_option
def mark(path: Path, keys: tuple[Path, ...], *, as_json: bool) -> None:
    """Say of which decoys a model that was found is a copy: of those whose key fits.

    `z` counts standard deviations from a fair coin; from 7 on it is the decoy, which one of 10^11 other models reaches.
    """
    from strongroom.operator.decoy_model import marked, read_decoy_key

    secrets = [read_decoy_key(one) for one in keys]
    found = [(str(name), marked(path, secret)) for name, secret in zip(keys, secrets, strict=True)]
    if as_json:
        rows = [{"key": name, "pairs": one.pairs, "z": round(one.z, 2), "found": one.found} for name, one in found]
        printing.document({"path": str(path), "keys": rows})
        return
    rows_ = [(name, one.pairs, f"{one.z:.1f}", "yes" if one.found else "no") for name, one in found]
    printing.table(("KEY", "PAIRS", "Z", "DECOY"), rows_)
