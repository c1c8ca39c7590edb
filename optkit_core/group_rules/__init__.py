"""Group rules: which parameters make a group with which options, and why."""
