"""Factories: the classes and functions that make schedules and averages, and their arguments."""
