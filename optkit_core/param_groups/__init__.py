"""Parameters and their groups: what is taken in from a user, checked before anything changes."""
