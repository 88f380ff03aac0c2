"""The work store over both databases."""

from skep.testing.work_conformance import WorkConformance


class TestWorkStore(WorkConformance):
    """The work store, as its port says."""
