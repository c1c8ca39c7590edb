"""Which implementation runs a bucket: what is requested, offered and chosen, and why."""
