"""Shipped fakes and conformance suites: for Skep's own tests and for those who write a driver."""
