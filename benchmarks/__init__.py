"""Benchmarks: optkit beside torch.optim, interleaved in one process; ratios, not times."""
