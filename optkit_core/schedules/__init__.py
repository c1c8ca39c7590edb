"""Schedules of the learning rate: torch's, by name, with a warm-up before them."""
