"""`strongroom attest tpm capture`: what it prints is what a policy takes."""

import json

import click
import pytest
from click.testing import CliRunner

from strongroom.attest.policy_file import read
from strongroom.cli.attest_tpm import capture
from strongroom.edge.tpm.chip import Tpm
from strongroom.errors import Code, InputError, SetupError


def run(*args):
    return CliRunner().invoke(capture, args, standalone_mode=False)


def registers(chip, *numbers):
    with Tpm.open(chip.address) as tpm:
        return tpm.read_pcrs(numbers)


def test_a_policy_reads_what_is_captured(chip):
    done = run("--tpm", chip.address, "--pcrs", "0,7,17")
    assert done.exception is None
    head = 'version = 1\n[authorities]\ntpm_roots = ["roots.pem"]\n[default]\nkinds = ["tpm"]\n'
    policy = read(head + done.stdout, "attestation.toml").default
    assert policy.tpm.pcrs == {"sha256": {number: (digest,) for number, digest in registers(chip, 0, 7, 17).items()}}


def test_json(chip):
    done = run("--tpm", chip.address, "--json")
    assert json.loads(done.stdout) == {
        "pcrs": {"sha256": {str(number): [one.hex()] for number, one in registers(chip, *range(8)).items()}}
    }


def test_an_empty_register_is_pointed_out(chip):
    assert "nothing was ever measured into" in run("--tpm", chip.address, "--pcrs", "15").stderr


@pytest.mark.parametrize("name", ["kiosk", "kiosk.v2"])
def test_a_models_own_rules(chip, name):
    done = run("--tpm", chip.address, "--pcrs", "7", "--model", name)
    head = 'version = 1\n[authorities]\ntpm_roots = ["roots.pem"]\n'
    policies = read(f'{head}[models]\n"{name}".kinds = ["tpm"]\n' + done.stdout, "attestation.toml")
    assert policies.models[name].tpm.pcrs == {"sha256": {7: (registers(chip, 7)[7],)}}
    assert isinstance(run("--tpm", chip.address, "--model", "No Name").exception, InputError)


def test_a_bank_that_this_chip_has_not(chip):
    error = run("--tpm", chip.address, "--bank", "sha512").exception
    assert isinstance(error, InputError)
    assert (error.code, "sha512" in error.what, "--bank sha256" in error.next_step) == (Code.ARGUMENT, True, True)


@pytest.mark.parametrize(("pcrs", "told"), [("0,7", False), ("0,1,2,3,4,5,6,7", False), ("0,8", True)])
def test_registers_that_no_device_quotes_unasked_are_pointed_out(chip, pcrs, told):
    for more in ((), ("--json",)):
        said = run("--tpm", chip.address, "--pcrs", pcrs, *more).stderr
        assert (f"--pcrs {pcrs}`" in said, "WARNING" in said) == (told, told)


@pytest.mark.parametrize(
    "args", [("--pcrs", ""), ("--pcrs", "0,,1"), ("--pcrs", "24"), ("--pcrs", "x"), ("--bank", "sha1"), ("--bank", "x")]
)
def test_what_it_does_not_take(args):
    assert isinstance(run(*args).exception, click.UsageError)


def test_without_a_tpm(tmp_path):
    assert isinstance(run("--tpm", str(tmp_path / "none")).exception, SetupError)
