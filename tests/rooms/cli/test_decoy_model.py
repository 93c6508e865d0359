"""`strongroom decoy model` and `strongroom decoy mark`: no server is needed for either."""

import numpy as np
import pytest


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "w.npy"
    np.save(path, np.random.default_rng(1).standard_normal((200, 200)).astype(np.float32))
    return path


def test_a_decoy_is_made_and_known_again(cli, weights, tmp_path):
    """H04: as large as the real one; its key stays beside it, for its owner alone, and accuses it and nothing else."""
    made = cli("decoy", "model", weights, "-o", "d.npy", "--json").json
    assert (made["tensors"], made["numbers"], made["copied"]) == (1, 40_000, [])
    assert 0.28 < made["damaged"] / made["numbers"] < 0.32
    assert (tmp_path / "d.npy").stat().st_size == weights.stat().st_size
    assert (tmp_path / "d.npy.key").stat().st_mode & 0o777 == 0o600
    cli("decoy", "model", weights, "-o", "e.npy", "--damage", "0.9", "--key-file", "e.key")
    found = cli("decoy", "mark", "d.npy", "--key-file", "d.npy.key", "--key-file", "e.key", "--json").json
    assert [(row["key"], row["found"]) for row in found["keys"]] == [("d.npy.key", True), ("e.key", False)]
    assert "yes" not in cli("decoy", "mark", weights, "--key-file", "d.npy.key").out
    secret = (tmp_path / "d.npy.key").read_text().strip()
    again = cli("decoy", "model", weights, "-o", "f.npy", "--key-file", "d.npy.key")
    assert (again.code, secret in again.out + again.err) == (0, False)
    assert (tmp_path / "f.npy").read_bytes() == (tmp_path / "d.npy").read_bytes()


@pytest.mark.parametrize("arguments", [("nothing", "-o", "x"), ("w.npy", "-o", "w.npy"), ("bytes.bin", "-o", "x")])
def test_what_cannot_be_made_leaves_no_key_behind(cli, weights, tmp_path, arguments):
    (tmp_path / "bytes.bin").write_bytes(bytes(1000))
    before = sorted(tmp_path.iterdir())
    done = cli("decoy", "model", *arguments)
    assert done.code == 2
    assert done.err.startswith("error")
    assert sorted(tmp_path.iterdir()) == before


def test_a_share_out_of_bounds_is_a_usage_error(cli, weights):
    assert "0.1<=x<=1" in cli("decoy", "model", weights, "-o", "x", "--damage", "0.01").err


@pytest.mark.parametrize(
    "arguments",
    [
        ("--decoy-of", "digits"),
        ("--decoy-of", "digits@1.0", "--name", "digits"),
        ("--decoy-of", "digits@1.0", "--channel", "stable"),
        ("--name", "digits"),
        ("--version", "1.0"),
    ],
)
def test_publish_names_a_version_in_one_way(cli, weights, arguments):
    done = cli("model", "publish", weights, *arguments)
    assert done.code == 2
    assert "--" in done.err
