"""Every registered algorithm: many small tensors, large ones beside torch's, and their bytes."""
