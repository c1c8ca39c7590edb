"""L-BFGS: its problems, its peers, and what they are measured by."""
