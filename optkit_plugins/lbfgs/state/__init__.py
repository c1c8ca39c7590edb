"""What L-BFGS keeps from step to step, in memory and in a checkpoint."""
