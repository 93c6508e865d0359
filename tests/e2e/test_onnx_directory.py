"""A directory with two graphs and their weights, by its commands: publish, pull, run (R31, R32)."""

import json

import numpy as np

from rooms.edge.onnx_by_hand import chain, external, matrix

WIDTH = 160


def test_a_directory_is_published_and_each_graph_runs_by_its_name(office, command, tmp_path):
    top = tmp_path / "speech"
    weights = {"encoder": matrix(1, WIDTH, WIDTH), "decoder": matrix(2, WIDTH, WIDTH)}
    for part, weight in weights.items():
        (top / part).mkdir(parents=True)
        (top / part / "weights.bin").write_bytes(weight.tobytes())
        (top / part / "model.onnx").write_bytes(
            chain([external("w0", weight.shape, {"location": "weights.bin"})], WIDTH)
        )
    office.admin("model", "publish", top, "--name", "speech", "--version", "1.0", "--channel", "stable")
    env = office.device("speaker", office.customer("saskia", "speech"))
    command("pull", "speech", "--json", env=env)
    x = np.arange(WIDTH, dtype=np.float32)[None] / WIDTH
    (tmp_path / "x.json").write_text(json.dumps(x.tolist()))
    for part, weight in weights.items():
        ran = command(
            "run", "speech", "--file", f"{part}/model.onnx", "--input", tmp_path / "x.json", "--json", env=env
        )
        np.testing.assert_allclose(ran["outputs"]["y"], x @ weight, rtol=1e-3, atol=1e-4)
    refused = command("run", "speech", "--input", tmp_path / "x.json", "--json", env=env, expect=2)["error"]
    assert refused["code"] == "runtime"
    assert "--file" in refused["next"]
    refused = command(
        "run", "speech", "--file", "model.onnx", "--input", tmp_path / "x.json", "--json", env=env, expect=2
    )
    assert refused["error"]["code"] == "path"
