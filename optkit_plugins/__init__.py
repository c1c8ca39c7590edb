"""The algorithms that ship with optkit; they enter by the door that third parties use."""
