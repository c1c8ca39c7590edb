"""Vectors over all parameters: blocks by device and group, and the ways of storing them."""
