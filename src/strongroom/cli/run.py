"""`strongroom run`: open a model from the local store and run it."""

from pathlib import Path
from typing import Any

import click

from strongroom.cli import printing
from strongroom.cli.lazy import Command
from strongroom.cli.options import PATH, home_option, json_option


@click.command(
    cls=Command,
    examples=[
        "strongroom run digits --input image.npy",
        "strongroom run digits@1.0 --input inputs.json --json",
        "strongroom run speech --file decoder/model.onnx --input tokens.npy",
    ],
)
@click.argument("model", metavar="MODEL[@CHANNEL|@VERSION]")
@click.option(
    "--input", "input_file", type=PATH, metavar="FILE", help="The inputs of an ONNX model: .npy, .npz or .json."
)
@click.option("--file", "graph", metavar="PATH", help="The graph to run, of an ONNX model with several.")
@home_option
@json_option
def run(model: str, input_file: Path | None, graph: str | None, *, home: Path | None, as_json: bool) -> None:
    """Open MODEL, give it an input, print what comes out.

    A .npy file or a JSON array is the model's only input; a .npz file or a JSON object names each. A model that no
    runtime here can run is opened and checked, and its files are listed with size and SHA-256.
    """
    from strongroom import names
    from strongroom.cli.places import room

    reference = names.parse_reference(model)
    with room(home) as here, here.load(str(reference)) as opened:
        onnx = opened.format == "onnx"
        done = _outputs(opened, input_file, graph) if onnx else _files(opened, input_file, graph)
    if as_json:
        found = {"outputs": done} if onnx else {"files": [{"path": path, **one} for path, one in done.items()]}
        printing.document({"model": opened.name, "version": opened.version, **found})
    elif onnx:
        printing.fields([(name, _short(value)) for name, value in done.items()])
    else:
        rows = [(path, one["size"], one["sha256"]) for path, one in done.items()]
        printing.table(("FILE", "SIZE", "SHA-256"), rows)


def _outputs(opened: Any, input_file: Path | None, graph: str | None) -> dict[str, Any]:  # noqa: ANN401 - the runtime's own types
    from strongroom.cli.extras import needs
    from strongroom.errors import Code, InputError, StrongroomError

    if input_file is None:
        next_step = "say --input FILE (.npy, .npz or .json)"
        raise InputError(Code.ARGUMENT, "an ONNX model needs an input", next_step=next_step)
    with needs("onnx"):
        from strongroom.cli import arrays
    session = opened.session(graph)
    wanted = {one.name: one.type for one in session.get_inputs()}
    feeds = arrays.read_feeds(input_file, wanted)
    try:
        outputs = session.run(None, feeds)
    except StrongroomError:
        raise
    except Exception as error:  # noqa: BLE001 - onnxruntime's exceptions share no base that it documents
        what = f"the model did not accept this input: {str(error).splitlines()[0][:200]}"
        raise InputError(Code.RUNTIME, what, where=str(input_file)) from None
    named = zip(session.get_outputs(), outputs, strict=True)
    return {one.name: arrays.plain(value) for one, value in named}


def _files(opened: Any, input_file: Path | None, graph: str | None) -> dict[str, Any]:  # noqa: ANN401 - edge's Model, imported late
    import hashlib

    from strongroom.errors import Code, InputError

    if input_file is not None or graph is not None:
        option, value = ("--file", graph) if input_file is None else ("--input", input_file)
        what = f"no runtime here runs this model, so it takes no {option}: its format is {opened.format}"
        next_step = f"leave {option} out to see its files"
        raise InputError(Code.ARGUMENT, what, where=str(value), next_step=next_step)
    contents = {path: opened.file(path) for path in opened.files}
    return {
        path: {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for path, content in contents.items()
    }


def _short(value: Any) -> str:  # noqa: ANN401 - nested lists of numbers
    text = str(value)
    return text if len(text) <= 400 else text[:400] + " … (all of it with --json)"
