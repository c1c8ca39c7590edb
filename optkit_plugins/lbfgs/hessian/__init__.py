"""The approximation of the inverse Hessian, from the curvature pairs of the last iterations."""
