"""Minimization along directions: the objective, the line, the iterations and when they stop."""
