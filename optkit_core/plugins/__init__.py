"""Plugins: algorithms and hooks by entry points, and the registry of algorithms by name."""
