"""``optkit new``: a plugin project, complete and passing its tests, for its author to change."""
