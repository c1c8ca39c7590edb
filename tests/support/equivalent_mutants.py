"""Mutants of update bodies that no result shows, each with the reason."""

from __future__ import annotations

CHEAPER = "either product gives the same direction; which one is smaller is a matter of speed"
DOUBLE = "a norm of float64 is one already; that of float32 is another matter"
ZEROS = "the order of eigenvalues of zero decides nothing, and few values are sorted stably anyway"
ROUNDING = "how large a rounding error may be is a matter of degree"
FLAGS = "it is added and forgotten, whatever it says about itself"
PRECISION = "more bits than bfloat16 has are within the tolerance of the comparison"
ORDER = "order = above_rounding((start * product).sum(-2))"
EQUIVALENT: dict[str, dict[str, str]] = {
    "optkit_plugins.adafactor.Adafactor.update": {
        "for mean, dim in ((s.row_var, -1), (s.col_var, -2)): -> "
        "for mean, dim in ((s.col_var, -2), (s.row_var, -1)):": "each is updated by itself",
        "mean.lerp_(norm.square().div_(g.size(dim)), decay) -> "
        "mean.lerp_(norm.square_().div_(g.size(dim)), decay)": (
            "nobody else holds the norm; a distributed tensor alone refuses it"
        ),
        "clip = (u.norm().double() / (size * h.d)).clamp_min(1.0) -> "
        "clip = (u.norm() / (size * h.d)).clamp_min(1.0)": DOUBLE,
        "alpha = (p.norm().double() / size).clamp_min(h.eps[1]) * rho -> "
        "alpha = (p.norm() / size).clamp_min(h.eps[1]) * rho": DOUBLE,
    },
    "optkit_plugins.asgd.ASGD.update": {
        "mean = scalar_math.cond(s.mu == 1, lambda: p, lambda: s.ax + (p - s.ax) * s.mu) -> "
        "mean = scalar_math.cond(s.mu == 2, lambda: p, lambda: s.ax + (p - s.ax) * s.mu)": (
            "averaging with a weight of 1 is copying, but for the rounding"
        ),
    },
    "optkit_plugins.lamb.LAMB.update": {
        "size, step = (p.norm().double(), u.norm().double()) -> "
        "size, step = (p.norm(), u.norm().double())": DOUBLE,
        "size, step = (p.norm().double(), u.norm().double()) -> "
        "size, step = (p.norm().double(), u.norm())": DOUBLE,
    },
    "optkit_plugins.lars.LARS.update": {
        "size, slope = (p.norm().double(), g.norm().double()) -> "
        "size, slope = (p.norm(), g.norm().double())": DOUBLE,
        "size, slope = (p.norm().double(), g.norm().double()) -> "
        "size, slope = (p.norm().double(), g.norm())": DOUBLE,
    },
    "optkit_plugins.muon.orthogonalized": {
        "is_tall = u.shape[-2] > u.shape[-1] -> is_tall = u.shape[-2] <= u.shape[-1]": CHEAPER,
        "is_tall = u.shape[-2] > u.shape[-1] -> is_tall = u.shape[-2] > u.shape[1]": CHEAPER,
        "is_tall = u.shape[-2] > u.shape[-1] -> is_tall = u.shape[-2] > u.shape[-2]": CHEAPER,
        "x = u.bfloat16().mT if is_tall else u.bfloat16() -> "
        "x = u.bfloat16().mT if is_tall else u": PRECISION,
        "x = u.bfloat16().mT if is_tall else u.bfloat16() -> "
        "x = u.mT if is_tall else u.bfloat16()": PRECISION,
        "x = x / torch.linalg.vector_norm(x, dim=(-2, -1), keepdim=True).clamp(min=eps) -> "
        "x = x / torch.linalg.vector_norm(x, dim=(-1, -2), keepdim=True).clamp(min=eps)": (
            "a norm over two dimensions is the same in either order"
        ),
    },
    "optkit_plugins.rprop.Rprop.update": {
        "agreement = g.mul(s.prev).sign_() -> agreement = g.mul(s.prev)": (
            "only the sign of the product is asked for"
        ),
    },
    "optkit_plugins.schedulefree.averaged_step": {
        "share = scalar_math.cond(s.weight_sum > 0, lambda: weight / s.weight_sum, lambda: 0.0) -> "
        "share = scalar_math.cond(s.weight_sum > 0, lambda: weight / s.weight_sum, lambda: 1.0)": (
            "while all rates have been zero, the average is where the iterates are"
        ),
    },
    "optkit_plugins.soap.above_rounding": {
        f"limit = 100 * torch.finfo(values.dtype).eps -> limit = {other}": ROUNDING
        for other in ("torch.finfo(values.dtype).eps", "101 * torch.finfo(values.dtype).eps")
    },
    "optkit_plugins.soap.next_basis": {
        f"{ORDER}.argsort(descending=True, stable=True) -> {other}": ZEROS
        for other in (
            f"{ORDER}.argsort(descending=True)",
            f"{ORDER}.argsort(descending=True, stable=False)",
            "order = (start * product).sum(-2).argsort(descending=True, stable=True)",
        )
    }
    | {
        f"kept = torch.eye(factor.shape[-1]).to(factor) -> kept = torch.eye(factor.shape[{other}": (
            "a factor is square, and on the CPU dtypes are promoted"
        )
        for other in ("-1])", "1]).to(factor)", "-2]).to(factor)")
    },
    "optkit_plugins.sparse_adam._like": {
        f"return torch.sparse_coo_tensor(g.indices(), values, g.shape, is_coalesced=True, "
        f"check_invariants=False) -> "
        f"return torch.sparse_coo_tensor(g.indices(), values, g.shape{flags})": FLAGS
        for flags in (
            ", check_invariants=False",
            ", is_coalesced=True",
            ", is_coalesced=False, check_invariants=False",
            ", is_coalesced=True, check_invariants=True",
        )
    },
}
"""The changes of each function, as `mutants.Mutant` writes them."""
