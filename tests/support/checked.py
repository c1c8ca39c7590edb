"""Which checks of the conformance kit are run beside those of ``pytest --optkit``.

That runs every check on everything that ships; where a test has an algorithm of its own, these
are what it is about.
"""

STEPS = ("step", "agreement", "maximize", "groups", "grad_scaler", "differentiable", "sparse")
"""What is required of steps and of implementations."""

STATE = ("closure", "deepcopy", "pickle", "state_dict", "file", "modes")
"""What is required of closures, copies and checkpoints."""
