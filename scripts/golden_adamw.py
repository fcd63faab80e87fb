#!/usr/bin/env python3
"""Golden updates for the optimizer of crates/training from PyTorch's AdamW and clip_grad_norm_ (tried with 2.15).

Five steps in f64 on a matrix that decays and a bias that does not, at another learning rate each; the second and
the fourth gradient are clipped; that of the first bias is so small that epsilon matters. Inputs are exact in f32 and
nothing is random.
Usage: python scripts/golden_adamw.py > crates/training/tests/golden/adamw.json
"""
import json

import torch

RATES = [0.01, 0.02, 0.03, 0.02, 0.01]
WEIGHT_DECAY, CLIP_NORM = 0.25, 1.5
SHAPES = {"bias": [3], "weight": [2, 3]}


def numbers(shape, salt, span):
    """Multiples of 1/64 within ±span, different for each salt."""
    count = torch.Size(shape).numel()
    values = [((i * 37 + salt * 53 + i * i * salt * 11) % (128 * span) - 64 * span) / 64 for i in range(count)]
    return torch.tensor(values, dtype=torch.float64).reshape(shape)


def lists(tensors):
    return {name: [float(f"{v:.9g}") for v in tensor.detach().flatten().tolist()] for name, tensor in tensors.items()}


def main():
    weights = {name: numbers(shape, salt, 1).requires_grad_() for salt, (name, shape) in enumerate(SHAPES.items(), 3)}
    groups = [{"params": [weights["weight"]], "weight_decay": WEIGHT_DECAY},
              {"params": [weights["bias"]], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.999), eps=1e-8)
    golden = {"made_by": {"script": "scripts/golden_adamw.py", "pytorch": torch.__version__.split("+")[0],
                          "seed": "none: the inputs are formulas"},
              "weight_decay": WEIGHT_DECAY, "clip_norm": CLIP_NORM, "shapes": SHAPES, "initial": lists(weights)}
    steps = []
    for step, rate in enumerate(RATES, 1):
        for salt, weight in enumerate(weights.values()):
            # Halved in odd steps: small enough not to be clipped.
            weight.grad = numbers(weight.shape, 7 * step + salt, 1) * (0.5 if step % 2 else 2.0)
        weights["bias"].grad[0] *= 2.0**-26
        gradients = lists({name: weight.grad for name, weight in weights.items()})
        norm = torch.nn.utils.clip_grad_norm_(weights.values(), CLIP_NORM).item()
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        moment = lambda key: lists({name: optimizer.state[weight][key] for name, weight in weights.items()})
        steps.append({"learning_rate": rate, "gradients": gradients, "norm": norm, "weights": lists(weights),
                      "first": moment("exp_avg"), "second": moment("exp_avg_sq")})
    head = ",\n ".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in golden.items())
    print("{" + head + ',\n "steps": [\n  ' + ",\n  ".join(map(json.dumps, steps)) + "\n]}")


main()
