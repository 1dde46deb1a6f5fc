"""Writes optimizers.txt: what PyTorch's optimisers, clipping and schedulers do to given gradients.

Made with Python 3.11.7, torch 2.15.0 and numpy 2.4.6. To write the file beside this script:

    pip install torch==2.15.0 numpy==2.4.6
    python generate_optimizers.py

The format and `number` are those of generate.py. Everything is float64.

Optimisers: p starts as number(0, k) * 2 for k = 0..6; at step 1..20 its gradient is
p_k * (1 + 0.25 * k) + number(100 + step, k). A line has p after 20 steps, `asgd_average` the
average that ASGD keeps.

Clipping: of g = number(300, k) * 10, as two tensors of 4 and 3 numbers. `clip_norm_total` is the
norm before it. (PyTorch scales by max_norm / (norm + 1e-6).)

Schedulers: base rate 0.1. A line has the rates in use at steps 0, 1, ..., `plateau` the rate after
each of `plateau_metrics` was reported.
"""

import sys
from pathlib import Path

sys.dont_write_bytecode = True

import torch  # noqa: E402
from torch.optim import ASGD, SGD, Adam, AdamW, RMSprop, lr_scheduler  # noqa: E402

from generate import number, versions, write  # noqa: E402

COUNT = 7
OPTIMIZER_STEPS = 20
SCHEDULE_STEPS = 30
BASE_RATE = 0.1

SGD_RATE = {"lr": 0.05}
RMSPROP = {"lr": 0.01, "alpha": 0.99, "eps": 1e-8}
ADAM = {"lr": 0.01}
OPTIMIZERS = {
    "sgd": (SGD, SGD_RATE),
    "sgd_weight_decay": (SGD, {**SGD_RATE, "weight_decay": 0.1}),
    "sgd_momentum": (SGD, {**SGD_RATE, "momentum": 0.9}),
    "sgd_momentum_dampening": (SGD, {**SGD_RATE, "momentum": 0.9, "dampening": 0.5}),
    "sgd_nesterov": (SGD, {**SGD_RATE, "momentum": 0.9, "nesterov": True}),
    "sgd_nesterov_weight_decay": (
        SGD,
        {**SGD_RATE, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
    ),
    "rmsprop": (RMSprop, RMSPROP),
    "rmsprop_momentum": (RMSprop, {**RMSPROP, "momentum": 0.9}),
    "rmsprop_centered": (RMSprop, {**RMSPROP, "centered": True}),
    "rmsprop_weight_decay": (RMSprop, {**RMSPROP, "weight_decay": 0.1}),
    "adam": (Adam, ADAM),
    "adam_weight_decay": (Adam, {**ADAM, "weight_decay": 0.1}),
    "adam_betas": (Adam, {**ADAM, "betas": (0.8, 0.95), "eps": 1e-6}),
    "adamw": (AdamW, {**ADAM, "weight_decay": 0.1}),
    "asgd": (ASGD, {"lr": 0.05, "lambd": 0.0, "alpha": 0.0, "t0": 5, "weight_decay": 0.0}),
}

METRICS = [max(0.3, 1 - 0.1 * k) if k < 8 else 0.3 + 0.001 * (k % 3) for k in range(SCHEDULE_STEPS)]


def descend(make, options):
    """The parameter after all steps, and what the optimiser keeps for it."""
    p = torch.nn.Parameter(torch.tensor([number(0, k) * 2 for k in range(COUNT)]))
    curvature = torch.tensor([1 + 0.25 * k for k in range(COUNT)])
    optimizer = make([p], **options)
    for step in range(1, OPTIMIZER_STEPS + 1):
        slope = torch.tensor([number(100 + step, k) for k in range(COUNT)])
        p.grad = p.detach() * curvature + slope
        optimizer.step()
    return p.detach(), optimizer.state[p]


def clipped(clip):
    """The gradients of two parameters after `clip`, and what it returned."""
    gradients = torch.tensor([number(300, k) * 10 for k in range(COUNT)])
    parameters = [torch.nn.Parameter(torch.zeros(size)) for size in (4, 3)]
    parameters[0].grad, parameters[1].grad = gradients[:4].clone(), gradients[4:].clone()
    returned = clip(parameters)
    return torch.cat([parameter.grad for parameter in parameters]), returned


def rates(steps, make, **options):
    """The rates in use at each step."""
    optimizer = SGD([torch.nn.Parameter(torch.zeros(1))], lr=BASE_RATE)
    scheduler = make(optimizer, **options)
    seen = []
    for _ in range(steps):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return seen


def plateau_rates():
    """The rate after each metric."""
    optimizer = SGD([torch.nn.Parameter(torch.zeros(1))], lr=BASE_RATE)
    scheduler = lr_scheduler.ReduceLROnPlateau(
        optimizer,
        mode="min",
        factor=0.5,
        patience=2,
        threshold=1e-4,
        threshold_mode="rel",
        cooldown=0,
    )
    seen = []
    for metric in METRICS:
        optimizer.step()
        scheduler.step(metric)
        seen.append(optimizer.param_groups[0]["lr"])
    return seen


def main():
    torch.set_num_threads(1)
    # ASGD keeps its rate in the default type.
    torch.set_default_dtype(torch.float64)
    tensors = {}
    for label, (make, options) in OPTIMIZERS.items():
        tensors[label], state = descend(make, options)
        if make is ASGD:
            tensors[f"{label}_average"] = state["ax"]
    tensors["clip_norm"], tensors["clip_norm_total"] = clipped(
        lambda parameters: torch.nn.utils.clip_grad_norm_(parameters, max_norm=2.5)
    )
    tensors["clip_value"], _ = clipped(
        lambda parameters: torch.nn.utils.clip_grad_value_(parameters, 1.5)
    )
    tensors["step"] = rates(SCHEDULE_STEPS, lr_scheduler.StepLR, step_size=7, gamma=0.5)
    tensors["exponential"] = rates(SCHEDULE_STEPS, lr_scheduler.ExponentialLR, gamma=0.9)
    # Beyond T_max PyTorch's rate rises again: only the way down.
    tensors["cosine"] = rates(21, lr_scheduler.CosineAnnealingLR, T_max=20)
    # From a tenth of the rate in equal steps to the whole: a warm-up of 10 steps.
    tensors["linear_warmup"] = rates(
        SCHEDULE_STEPS, lr_scheduler.LinearLR, start_factor=0.1, end_factor=1.0, total_iters=9
    )
    tensors["plateau_metrics"] = METRICS
    tensors["plateau"] = plateau_rates()

    comments = [
        f"PyTorch's optimisers, clipping and schedulers on {COUNT} given numbers.",
        f"Made by generate_optimizers.py with {versions()}.",
    ]
    settings = {
        "numbers": COUNT,
        "optimizer_steps": OPTIMIZER_STEPS,
        "schedule_steps": SCHEDULE_STEPS,
        "base_rate": BASE_RATE,
    }
    write(Path(__file__).parent / "optimizers.txt", comments, settings, tensors)


if __name__ == "__main__":
    main()
