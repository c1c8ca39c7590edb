"""What a type checker must see: right calls pass, and each wrong call is an error.

Checked by ``mypy --strict``, which also reports an ignore that isn't needed.
"""

import functools

import torch

import optkit
from optkit import LBFGS, Adagrad, Adamax

params = [torch.nn.Parameter(torch.zeros(2))]

Adamax(params, 1e-3, (0.9, 0.999), 1e-8, weight_decay=0.1, maximize=True)
Adagrad(params, lr=torch.tensor(0.1), implementation={"cpu": "foreach"})
LBFGS(params, history_size=10, line_search_fn="strong_wolfe")

optkit.Adamax(torch.nn.ParameterList(params))
optkit.create("adamax", params, lr=0.1)
optkit.create(params, name="adamax", implementation="foreach")
optkit.create(name="adamax", params=params)
functools.partial(optkit.create, name="adamax", lr=0.1)(params)
model = torch.nn.Linear(2, 1)
rules = [{"match": "*.bias", "weight_decay": 0.0}, {"ndim": 2, "algorithm": "muon"}]
optkit.create("adamw", optkit.groups(model, rules, default={"lr": 0.1}))
torch.optim.SGD(optkit.groups(model.named_parameters(), rules))
optimizer = optkit.create("adamw", params)
optkit.create_schedule("step", optimizer, step_size=3, warmup=2).get_last_lr()
functools.partial(optkit.create_schedule, name="step", step_size=3)(optimizer)
optkit.create_averaging("ema", model, decay=0.9).update_parameters(model)
is_required: bool = optkit.describe("step", kind="schedule").arguments[0].is_required
paper: str = optkit.describe("adamw").paper

Adamax(params, lrr=3)  # type: ignore[call-arg]
Adamax(params, lr="fast")  # type: ignore[arg-type]
Adagrad(params, betas=(0.9, 0.9))  # type: ignore[call-arg]
Adagrad()  # type: ignore[call-arg]
optkit.Adams(params)  # type: ignore[attr-defined]
optkit.create(params)  # type: ignore[call-overload]
optkit.create_schedule("step", params)  # type: ignore[call-overload]
optkit.create_averaging("ema", optimizer)  # type: ignore[call-overload]
optkit.groups(model.parameters(), rules)  # type: ignore[arg-type]
optkit.groups(model, ["*.bias"])  # type: ignore[list-item]
