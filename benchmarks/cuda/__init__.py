"""The step on an NVIDIA GPU, beside torch's own steps and beside what its memory allows."""
