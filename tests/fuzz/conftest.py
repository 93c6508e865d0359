"""Says at the end how many inputs were executed."""


def pytest_terminal_summary(terminalreporter):
    """Sum what the tests recorded; a failed test has recorded nothing."""
    passed = [one for one in terminalreporter.stats.get("passed", []) if hasattr(one, "user_properties")]
    counts = [value for one in passed for name, value in one.user_properties if name == "executions"]
    failed = [one for one in terminalreporter.stats.get("failed", []) if "tests/fuzz/" in one.nodeid]
    if counts:
        found = f"{len(failed)} tests with findings" if failed else "0 untyped errors"
        terminalreporter.write_line(f"fuzzing: {sum(counts):,} executions in {len(counts)} tests, {found}")
