"""A plugin of pytest: both databases must have passed the same conformance tests, or the run has failed."""

from collections import Counter

import pytest

_FILES = ("test_store_conformance.py", "test_work_conformance.py")
_MARK = "conformance"
_counts = pytest.StashKey["Counts"]()


def pytest_configure(config):
    """Begin counting."""
    config.stash[_counts] = Counts()
    config.pluginmanager.register(config.stash[_counts])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """Mark each conformance test with its database."""
    report = yield
    if item.path.name in _FILES:
        report.user_properties.append((_MARK, item.callspec.params["db"]))
    return report


class Counts:
    """Counts the marked reports: here, or of those processes that run the tests side by side."""

    def __init__(self):
        #: Database -> how many passed; 0 if its tests were asked for and none of them did.
        self.passed = Counter()

    @property
    def differ(self):
        """Whether one database passed what another, which was asked for as well, did not."""
        return len(set(self.passed.values())) > 1

    def pytest_runtest_logreport(self, report):
        """Count what passed; a test that is skipped or fails is counted as asked for."""
        for name, database in report.user_properties:
            if name == _MARK:
                self.passed[database] += report.when == "call" and report.passed


def pytest_sessionfinish(session):
    """Fail when the counts differ."""
    one_of_several = hasattr(session.config, "workerinput")
    if not one_of_several and session.config.stash[_counts].differ:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter, config):
    """Say the counts."""
    counts = config.stash[_counts]
    if counts.passed:
        said = ", ".join(f"{name} {counts.passed[name]}" for name in ("sqlite", "postgresql"))
        terminalreporter.write_line(f"store conformance: {said}", red=counts.differ)
