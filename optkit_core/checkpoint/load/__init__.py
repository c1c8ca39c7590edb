"""Loading a saved state: read, matched and verified as a whole before anything is copied."""
