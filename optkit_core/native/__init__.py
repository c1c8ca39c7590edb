"""Compiled code on this machine: compiler, cache, and the reader that finds where tensors lie."""
