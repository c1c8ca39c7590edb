"""The conformance kit under pytest: what is collected, how it is run, and what is reported."""
