"""One command, `strongroom`: noun, then verb.

Data goes to stdout and all else to stderr; `--json` prints one JSON document; secrets never stand in an argument.
Each entry below is loaded only when it is called. A command's file is named after its noun.
"""

import os
import sys
from collections.abc import Sequence

import click

from strongroom import __version__
from strongroom.cli.faults import run
from strongroom.cli.lazy import Entry, Root
from strongroom.cli.stopping import stop_on_signals
from strongroom.cli.streams import guard


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code.

    Raises:
        SystemExit: always; 0 done, 1 failed, 2 usage, 4 denied, 5 integrity, 6 refused, 7 unreachable, 130 interrupted,
            143 and 129 ended by SIGTERM and SIGHUP.
    """
    guard()
    stop_on_signals()
    sys.exit(run(root, list(sys.argv[1:] if args is None else args)))


def _account() -> click.Command:
    from strongroom.cli.account import account

    return account


def _appeal() -> click.Command:
    from strongroom.cli.appeal import appeal

    return appeal


def _attest() -> click.Command:
    from strongroom.cli.attest import attest

    return attest


def _config() -> click.Command:
    from strongroom.cli.config import config

    return config


def _db() -> click.Command:
    from strongroom.cli.db import db

    return db


def _decoy() -> click.Command:
    from strongroom.cli.decoy import decoy

    return decoy


def _demo() -> click.Command:
    from strongroom.cli.demo import demo

    return demo


def _device() -> click.Command:
    from strongroom.cli.device import device

    return device


def _doctor() -> click.Command:
    from strongroom.cli.doctor import doctor

    return doctor


def _enrol() -> click.Command:
    from strongroom.cli.enrol import enrol

    return enrol


def _entitle() -> click.Command:
    from strongroom.cli.entitlement import entitle

    return entitle


def _file() -> click.Command:
    from strongroom.cli.file import file

    return file


def _init() -> click.Command:
    from strongroom.cli.init import init

    return init


def _lease() -> click.Command:
    from strongroom.cli.lease import lease

    return lease


def _key() -> click.Command:
    from strongroom.cli.key import key

    return key


def _model() -> click.Command:
    from strongroom.cli.model import model

    return model


def _operator() -> click.Command:
    from strongroom.cli.operator import operator

    return operator


def _pull() -> click.Command:
    from strongroom.cli.pull import pull

    return pull


def _revoke() -> click.Command:
    from strongroom.cli.entitlement import revoke

    return revoke


def _risk() -> click.Command:
    from strongroom.cli.risk import risk

    return risk


def _run() -> click.Command:
    from strongroom.cli.run import run as run_model

    return run_model


def _serve() -> click.Command:
    from strongroom.cli.serve import serve

    return serve


def _store() -> click.Command:
    from strongroom.cli.store import store

    return store


def _token() -> click.Command:
    from strongroom.cli.token import token

    return token


def _trust() -> click.Command:
    from strongroom.cli.trust import trust

    return trust


SECTIONS = {
    "Start here": {
        "demo": Entry("The whole story on a real model, on this machine.", _demo),
        "init": Entry("Make an embedded strongroom: keys, database, folder store, first admin.", _init),
        "serve": Entry("Run the server: device API and admin API, two ports.", _serve),
        "doctor": Entry("Say what is here, what is weak, and how to mend it.", _doctor),
        "config": Entry("Show the settings and where each comes from.", _config),
    },
    "The publisher's desk": {
        "model": Entry("Publish models, look at them, promote and revoke versions.", _model),
        "account": Entry("Customers.", _account),
        "entitle": Entry("Let an account have a model.", _entitle),
        "revoke": Entry("Take an entitlement back.", _revoke),
        "device": Entry("Enrolled installations, what they hold, and wiping it.", _device),
        "decoy": Entry("Decoys: whoever touches one is stopped, and you hear of it.", _decoy),
        "operator": Entry("People and jobs of the office, by role.", _operator),
        "token": Entry("Issue tokens to users (embedded identity).", _token),
        "key": Entry("The keys the server holds: status, rotation.", _key),
        "trust": Entry("Trust files: look at one, make the next, sign it, put it into force.", _trust),
        "db": Entry("The server's database.", _db),
    },
    "The watch": {
        "risk": Entry("Rules that weigh what users and devices do, tried on recorded events.", _risk),
    },
    "On a device": {
        "enrol": Entry("Enrol this installation, once.", _enrol),
        "pull": Entry("Request a model and store it, sealed for this device.", _pull),
        "run": Entry("Open a model from the local store and run it.", _run),
        "lease": Entry("How long what is here opens without asking.", _lease),
        "store": Entry("What this device holds.", _store),
    },
    "Without a server": {
        "file": Entry("Seal, open, inspect and verify sealed files.", _file),
        "appeal": Entry("Say why a stopped device should be let in again.", _appeal),
        "attest": Entry("Judge a device's evidence by hand, step by step; capture a TPM's registers.", _attest),
    },
}


@click.group(
    cls=Root,
    sections=SECTIONS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Each command has its own help with an example: strongroom model publish --help",
)
@click.version_option(__version__, "--version", prog_name="strongroom", message="%(prog)s %(version)s")
@click.pass_context
def root(ctx: click.Context) -> None:
    """Deliver machine-learning models to devices you do not control, and keep them protected."""
    if os.environ.get("NO_COLOR"):
        ctx.color = False
