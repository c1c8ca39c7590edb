"""The name of `optkit_core.selection.requests` in pickles that optkit 0.1 has written."""

from optkit_core.selection.requests import Request

__all__ = ["Request"]
