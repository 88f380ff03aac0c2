"""The stores over both databases."""

from skep.testing.store_conformance import StoreConformance


class TestStores(StoreConformance):
    """Every store, as its port says."""
