"""Composition: several algorithms for parts of one model, as one optimizer."""
