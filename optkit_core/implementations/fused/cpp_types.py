"""The types of C++ in which elements lie in memory."""

from __future__ import annotations

import torch

TYPES = {
    torch.float32: "float",
    torch.float64: "double",
    torch.bfloat16: "bfloat16",
    torch.float16: "float16",
}
"""The dtypes that a kernel reads and writes."""
