"""The documentation: its pages, what Sphinx needs to build them, and its pictures."""
