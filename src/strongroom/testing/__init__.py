"""A kit to test an attestation policy on a laptop: authorities that mint evidence of the real shape, and say so.

What it mints is refused by every server that names no test authority on purpose: its roots are not among
`roots.production()`, and a policy takes stand-ins only where it says `stand_ins = true`. No other part of strongroom
imports it. It needs the `server` extra, as judging evidence does.
"""

from strongroom.testing.android import AttestedKey, TestAndroid
from strongroom.testing.android_description import KeyDescription
from strongroom.testing.apple import TestApple, TestPhone
from strongroom.testing.authority import StandInWarning
from strongroom.testing.play import TestPlay
from strongroom.testing.tpm import TestChip, TestTpm

__all__ = [
    "AttestedKey",
    "KeyDescription",
    "StandInWarning",
    "TestAndroid",
    "TestApple",
    "TestChip",
    "TestPhone",
    "TestPlay",
    "TestTpm",
]
