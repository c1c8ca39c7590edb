"""Configuration files: one file says the whole optimizer, and what goes with it."""
