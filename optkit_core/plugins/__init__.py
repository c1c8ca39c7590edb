"""Plugins: what is found by name, by entry points; the registries, and hooks."""
