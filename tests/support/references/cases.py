"""Options away from their defaults, for every branch of an algorithm; each is in one at least."""

from __future__ import annotations

from typing import Any

Options = dict[str, Any]

ADAM: list[Options] = [
    {"lr": 0.1, "betas": (0.5, 0.8), "weight_decay": 0.1, "eps": 0.1},
    {"amsgrad": True, "betas": (0.5, 0.6)},
]
DECOUPLED: list[Options] = [
    {"lr": 0.1, "betas": (0.5, 0.8), "weight_decay": 0.1, "eps": 0.1},
    {"lr": 0.1, "betas": (0.5, 0.9), "weight_decay": 0.2, "decoupled_weight_decay": True},
]
AVERAGED: Options = {"weight_decay": 0.1, "warmup_steps": 10, "r": 0.5, "weight_lr_power": 1.5}

CASES: dict[str, list[Options]] = {
    "adadelta": [{"lr": 0.5, "rho": 0.5, "weight_decay": 0.1, "eps": 0.1}],
    "adafactor": [
        {"lr": 0.1, "beta2_decay": -0.5, "weight_decay": 0.1, "eps": (1e-3, 0.5), "d": 1.5},
        {"lr": 0.5, "eps": (1.0, 1e-3)},
    ],
    "adagrad": [
        {
            "lr": 0.3,
            "lr_decay": 0.3,
            "weight_decay": 0.1,
            "initial_accumulator_value": 0.5,
            "eps": 0.1,
        }
    ],
    "adam": [*ADAM, {"lr": 0.1, "weight_decay": 0.2, "decoupled_weight_decay": True}],
    "adamax": ADAM[:1],
    "adamw": [*ADAM, {"decoupled_weight_decay": True}],
    "adan": [
        {"lr": 0.1, "betas": (0.5, 0.8, 0.7), "weight_decay": 0.1, "eps": 0.1},
        {"lr": 0.1, "betas": (0.5, 0.8, 0.7), "weight_decay": 0.1, "no_prox": True},
    ],
    "ademamix": [
        {"lr": 0.1, "betas": (0.5, 0.8, 0.95), "weight_decay": 0.1, "eps": 0.1, "alpha": 2.0},
        {"lr": 0.1, "betas": (0.5, 0.8, 0.95), "beta3_warmup": 12, "alpha_warmup": 9},
    ],
    "asgd": [{"lr": 0.1, "lambd": 0.01, "alpha": 0.6, "t0": 5.0, "weight_decay": 0.1}],
    "lamb": [
        {"lr": 0.1, "betas": (0.5, 0.8), "weight_decay": 0.1, "eps": 0.1},
        {"lr": 0.1, "weight_decay": 0.0},
        {"lr": 0.1, "adapt": False},
    ],
    "lars": [
        {"lr": 0.5, "momentum": 0.5, "weight_decay": 0.1, "trust_coefficient": 0.2},
        {"lr": 0.1, "adapt": False},
        {"lr": 0.1, "momentum": 0.0},
    ],
    "lion": [{"lr": 0.1, "betas": (0.5, 0.8), "weight_decay": 0.1}],
    "muon": [
        {"lr": 0.1, "momentum": 0.5, "weight_decay": 0.2, "nesterov": False, "ns_steps": 3},
        {"lr": 0.1, "adjust_lr_fn": "match_rms_adamw", "ns_coefficients": (3.0, -4.0, 1.75)},
        {"lr": 0.1, "eps": 30.0},
    ],
    "nadam": [{**DECOUPLED[0], "momentum_decay": 0.1}, DECOUPLED[1]],
    "prodigy": [
        {
            "d0": 0.01,
            "lr": 0.5,
            "betas": (0.7, 0.9),
            "eps": 0.1,
            "weight_decay": 0.1,
            "use_bias_correction": True,
            "growth_rate": 1.1,
        },
        {
            "lr": 0.5,
            "d0": 0.01,
            "beta3": 0.8,
            "weight_decay": 0.1,
            "decouple": False,
            "safeguard_warmup": True,
            "d_coef": 2.0,
        },
    ],
    "radam": [*DECOUPLED, {"lr": 0.1, "betas": (0.9, 0.99)}],
    "rmsprop": [
        {"lr": 0.1, "alpha": 0.5, "weight_decay": 0.1, "eps": 0.1},
        {"centered": True, "momentum": 0.7, "alpha": 0.9},
    ],
    "rprop": [{"lr": 0.1, "etas": (0.4, 1.5), "step_sizes": (0.05, 0.2)}],
    "schedulefree_adamw": [{"lr": 0.05, "betas": (0.7, 0.9), "eps": 0.1, **AVERAGED}],
    "schedulefree_sgd": [{"lr": 0.05, "momentum": 0.6, **AVERAGED}],
    "sgd": [
        {"lr": 0.1, "weight_decay": 0.1},
        {"lr": 0.1, "momentum": 0.9, "dampening": 0.5, "weight_decay": 0.1},
        {"lr": 0.1, "momentum": 0.8, "nesterov": True},
    ],
    "soap": [
        {
            "lr": 0.1,
            "betas": (0.5, 0.8),
            "shampoo_beta": 0.7,
            "weight_decay": 0.1,
            "eps": 0.1,
            "precondition_frequency": 3,
        },
        {"lr": 0.1, "eps": 0.1, "precondition_1d": True, "correct_bias": False},
        {"lr": 0.1, "eps": 0.1, "max_precond_dim": 7},
    ],
    "sparseadam": [{"lr": 0.1, "betas": (0.5, 0.8), "eps": 0.1}],
}


def cases(name: str) -> list[Options]:
    """Return the defaults, what is away from them, and that again ascending."""
    away = CASES[name]
    return [{}, *away, {**away[0], "maximize": True}]
