"""A step: the buckets that it updates, the plan that is kept, and what happens around it."""
