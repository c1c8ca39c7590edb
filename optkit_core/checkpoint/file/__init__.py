"""Checkpoints as files: safetensors with a checksum, written whole, and files of torch.save."""
