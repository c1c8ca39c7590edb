"""Copies and pickles of an optimizer: what goes along, and what stays behind with a warning."""
