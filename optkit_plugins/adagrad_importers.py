"""Adagrad's state as other programs save it, brought to torch's shape."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from optkit_core import importer

TORCH_GROUP = {"lr", "lr_decay", "weight_decay", "initial_accumulator_value"}
DEEPSPEED_GROUP = {"lr", "eps", "weight_decay", "amsgrad"}
BITSANDBYTES_GROUP = {"lr", "betas", "eps", "weight_decay"}


@importer("adagrad", "torch 1.4")
def from_torch_before_eps(state_dict: dict[str, Any]) -> dict[str, Any] | None:
    """Convert what torch saved before ``eps`` could be chosen; it was 1e-10."""
    for group in state_dict["param_groups"]:
        if not group.keys() >= TORCH_GROUP or "eps" in group:
            return None
        group["eps"] = 1e-10
    return state_dict


@importer("adagrad", "deepspeed")
def from_deepspeed(state_dict: dict[str, Any]) -> dict[str, Any] | None:
    """Convert the state of DeepSpeed's CPU Adagrad.

    Its groups have ``amsgrad``, which Adagrad doesn't use, and no ``betas``; no optimizer of
    torch's has such a group.
    """
    for group in state_dict["param_groups"]:
        if not group.keys() >= DEEPSPEED_GROUP or "betas" in group or "lr_decay" in group:
            return None
        del group["amsgrad"]
    return _with_sum(state_dict, "exp_avg_sq")


@importer("adagrad", "bitsandbytes")
def from_bitsandbytes(state_dict: dict[str, Any]) -> dict[str, Any] | None:
    """Convert the 32-bit state of bitsandbytes' Adagrad.

    Its optimizers of one buffer all save the same keys. Adagrad alone has betas of zero and an
    eps above zero: Lion has an eps of zero, and the others refuse a momentum or alpha of zero.
    """
    for group in state_dict["param_groups"]:
        if not group.keys() >= BITSANDBYTES_GROUP or "lr_decay" in group:
            return None
        if tuple(group["betas"]) != (0.0, 0.0) or not group["eps"] > 0:
            return None
        for key in ("betas", "alpha", "t_alpha", "t_beta3"):
            group.pop(key, None)
    for state in state_dict["state"].values():
        state.update(state.pop("__bnb_optimizer_quant_state__", {}))
    return _with_sum(state_dict, "state1")


def _with_sum(state_dict: dict[str, Any], name: str) -> dict[str, Any] | None:
    """Rename the one buffer and add what these programs have no choice in."""
    for state in state_dict["state"].values():
        if state.keys() != {"step", name} or not isinstance(state[name], Tensor):
            return None
        if not state[name].is_floating_point():
            return None
        state["sum"] = state.pop(name)
    for group in state_dict["param_groups"]:
        group.update(lr_decay=0.0, initial_accumulator_value=0.0)
    return state_dict
