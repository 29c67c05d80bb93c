"""Fakes, builders and conformance suites, for the tests of applications and of other implementations."""
