"""Uses everything with a torch whose private names are others, from the import of optkit on."""

from __future__ import annotations

import warnings

import torch
import torch._dynamo  # needs some of the names itself while it is imported
from renaming import rename
from torch.optim import lr_scheduler
from torch.optim import optimizer as optimizers
from torch.utils import hooks


def rename_everything() -> None:
    for action in ("step", "state_dict", "load_state_dict"):
        for time in ("pre", "post"):
            rename(f"_optimizer_{action}_{time}_hooks", f"_{action}_{time}", optimizers)
    rename("_global_optimizer_pre_hooks", "_all_pre", optimizers)
    rename("_global_optimizer_post_hooks", "_all_post", optimizers)
    rename("_zero_grad_profile_name", "_title", optimizers)
    rename("__torch_unserializable__", "__unserializable__", hooks)
    rename("next_id", "next_number", hooks, hooks.RemovableHandle)
    del hooks.RemovableHandle.next_id
    rename("_wrapped_by_lr_sched", "_is_wrapped", lr_scheduler)
    rename("_opt_called", "_has_stepped", lr_scheduler)
    rename("_step_supports_amp_scaling", "_takes_scale", torch.amp.grad_scaler)
    del torch._C._aoti.unsafe_alloc_void_ptrs_from_tensors
    del torch._C._dynamo.eval_frame.get_eval_frame_callback
    del torch.Tensor.__dlpack_c_exchange_api__


if __name__ == "__main__":
    warnings.filterwarnings("ignore", "Seems like `optimizer.step")  # of a copied scheduler's
    rename_everything()
    from uses import USES  # imports optkit

    for name, use in USES.items():
        print(name, flush=True)
        use()
