"""All that ranks do under torch's engines, in one start of two.

Ranks alone import this: ``torch.distributed.optim`` warns as it is imported, which is an error in
the process of the tests.
"""

from __future__ import annotations

import collectives_in_steps
import in_backward
import other_optimizers
import pipelined
import under_ddp
import under_flat_fsdp
import under_fully_shard
import under_zero

ON_TWO = [
    *under_ddp.CASES,
    *under_zero.CASES,
    *under_flat_fsdp.CASES,
    *under_fully_shard.CASES,
    *in_backward.CASES,
    *pipelined.CASES,
    *other_optimizers.CASES,
    *collectives_in_steps.CASES,
]
