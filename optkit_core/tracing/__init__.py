"""Tracing: an update body becomes a list of operations, and rules for the numbers in them."""
