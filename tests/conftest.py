"""For every test: no deadline of hypothesis, an order that suits worker processes, and what is said at the end.

A busy machine is not a bug, so hypothesis sets no deadline. The line about fuzzing is made here and not beside its
targets, since the process that sums up what its workers did reads no other conftest.py than this one.
"""

from types import SimpleNamespace

import pytest

try:
    from hypothesis import settings
except ImportError:  # the device's own environment has pytest and nothing else
    pass
else:
    settings.register_profile("strongroom", deadline=None)
    settings.load_profile("strongroom")


def pytest_collection_modifyitems(config, items):
    """Among workers, files with slow tests come first: none of them is left to one worker while the others are done."""
    if hasattr(config, "workerinput"):
        slow = {item.path for item in items if item.get_closest_marker("slow")}
        items.sort(key=lambda item: item.path not in slow)


def pytest_deselected(items):
    """Have a worker tell how many tests it left out, which pytest-xdist keeps to itself."""
    told = getattr(items[0].config, "workeroutput", {}) if items else {}
    told["deselected"] = told.get("deselected", 0) + len(items)


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist, which is not everywhere
def pytest_testnodedown(node):
    """Count what the first worker left out, as all the others did, in the line that `.ci/run` reads."""
    reporter = node.config.pluginmanager.get_plugin("terminalreporter")
    left_out = getattr(node, "workeroutput", {}).get("deselected", 0)
    reporter.stats.setdefault("deselected", [SimpleNamespace()] * left_out)


def pytest_terminal_summary(terminalreporter):
    """Say how many inputs were executed: the sum of what the tests recorded; a failed test has recorded nothing."""
    passed = [one for one in terminalreporter.stats.get("passed", []) if hasattr(one, "user_properties")]
    counts = [value for one in passed for name, value in one.user_properties if name == "executions"]
    failed = [one for one in terminalreporter.stats.get("failed", []) if "tests/fuzz/" in one.nodeid]
    if counts:
        found = f"{len(failed)} tests with findings" if failed else "0 untyped errors"
        terminalreporter.write_line(f"fuzzing: {sum(counts):,} executions in {len(counts)} tests, {found}")
