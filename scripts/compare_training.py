#!/usr/bin/env python3
"""Trains a small network with `finescale train` and its twin in PyTorch on the same draws, and compares the updates.

Both start from the same weights and see the same patches, noise, levels and masks, which the example export_draws
writes. All else is done again here, by PyTorch or from the papers: network and gradients, preconditioning, loss,
clipping, learning rates, AdamW, averaged weights. Rounding grows from step to step, so the measure of agreement is
how far PyTorch departs from itself when its initial weights change in their last bits. The script fails if finescale
departs much further, or if a twin with a small mistake (biases and norms decay too) does not. Six runs, about five
minutes on one core.

    pip install torch numpy matplotlib
    cargo build --release -p finescale -p finescale-training --bins --example export_draws
    ./scripts/compare_training.py --out runs/compare_training
"""
import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from compare_pytorch import UNet, count

try:
    import numpy as np
    import torch
except ImportError as error:
    sys.exit(f"{error}: this script needs PyTorch; pip install torch numpy matplotlib")

# Steps at which the curves are compared from the beginning.
WINDOWS = [10, 50, 200]
# The first step has no history: f32 sums in another order.
FIRST_STEP = 1e-5
# Two formulas for a learning rate, in f64.
RATE = 1e-12
# A relative change of one unit in the last place of f32.
PERTURBATION = 1.2e-7
PERTURBED_RUNS = 3
# How much further from PyTorch than PyTorch from itself finescale may be. Rounding grows exponentially, so that even two
# changes of the last bits lead a factor of ten apart; the mistake of the control leads hundreds of times as far.
# Below ROUNDING there is nothing to compare.
FACTOR = 20
ROUNDING = 1e-6
MOCK = ["--seed", 1, "--boxes", 2, "--box-size", 25, "--cells", 32, "--particles-low", 16, "--particles-high", 64]


def configuration(a, boxes):
    """A small run in which all that an update does has an effect: a short warm-up, much decay, about half the steps clipped."""
    edm = a.prediction == "edm"
    levels = {"log_normal": {"mean": -1.2, "deviation": 1.4}} if edm else "reference"
    return {
        "data": {"training": sorted(map(str, boxes.glob("box_*")))},
        "network": {
            "base_channels": 16, "channel_multipliers": [1, 2, 4], "residual_blocks": 1, "head_channels": 16,
            "norm_groups": 8, "dropout": 0.0, "known_channels": edm,
            "prediction": {"edm": {"sigma_data": 0.5}} if edm else "epsilon",
        },
        "diffusion": {"training_levels": levels},
        "training": {
            "seed": 1, "steps": a.steps, "batch_size": 4, "patch_cells": 16, "unknown_share": 0.1,
            "learning_rate": 5e-4, "warm_up_steps": 20, "decay": {"cosine": {"floor": 0.1}}, "weight_decay": 0.5,
            "gradient_clip_norm": 2.0, "ema_decay": 0.99, "validate_every_steps": a.steps, "validation_patches": 0,
            "save_every_minutes": 60.0,
        },
        "generation": {"overlap_cells": 6},
    }


def read_safetensors(path):
    """Tensors by name, and the text beside them."""
    data = path.read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    metadata = header.pop("__metadata__", {})

    def tensor(entry):
        assert entry["dtype"] == "F32", entry
        start, end_exclusive = (end + offset for offset in entry["data_offsets"])
        return torch.from_numpy(np.frombuffer(data[start:end_exclusive], "<f4").reshape(entry["shape"]).copy())

    return {name: tensor(entry) for name, entry in header.items()}, metadata


def network_problem(draws, alpha_bars, network):
    """What the network is given, (b, c, n, n, n) and level (b,), and what it should answer (b, 1, n, n, n), in f64."""
    condition, clean, noise, mask = (draws[name].double() for name in ("condition", "clean", "noise", "mask"))
    a = torch.tensor(alpha_bars, dtype=torch.float64)[:, None, None, None, None]
    known = 1 - mask
    noisy = mask * (a.sqrt() * clean + (1 - a).sqrt() * noise) + known * clean
    channels = [condition, known, known * clean] if network["known_channels"] else [condition]
    if network["prediction"] == "epsilon":
        return torch.cat([*channels, noisy], dim=1), a.flatten(), noise
    # Karras et al. 2022, arXiv:2206.00364, eq. 8 and table 1; their noisy field is clean + sigma * noise.
    sigma, sigma_data = ((1 - a) / a).sqrt(), network["prediction"]["edm"]["sigma_data"]
    total = (sigma**2 + sigma_data**2).sqrt()
    c_skip, c_out, c_in, c_noise = sigma_data**2 / total**2, sigma * sigma_data / total, 1 / total, sigma.log() / 4
    target = (clean - c_skip * (clean + sigma * noise)) / c_out
    return torch.cat([*channels, c_in * noisy / a.sqrt()], dim=1), c_noise.flatten(), target


def learning_rate(training, step):
    """Of update `step` (from 1)."""
    warm_up, floor = training["warm_up_steps"], training["decay"]["cosine"]["floor"]
    if step <= warm_up:
        return training["learning_rate"] * step / warm_up
    turn = (step - warm_up) / (training["steps"] - warm_up)
    return training["learning_rate"] * (floor + (1 - floor) * (1 + math.cos(math.pi * turn)) / 2)


def train_pytorch(config, draws, dtype=torch.float32, perturb=None, decay_all=False):
    """The run in PyTorch. `perturb` is the seed of a change of the initial weights in their last bits."""
    torch.set_default_dtype(dtype)
    training, network = config["training"], UNet(config["network"]).train()
    weights, _ = read_safetensors(draws / "weights.safetensors")
    if perturb is not None:
        generator = torch.Generator().manual_seed(perturb)
        for weight in weights.values():
            weight *= 1 + PERTURBATION * torch.randn(weight.shape, generator=generator, dtype=torch.float32)
    network.load_state_dict(weights)
    parameters = dict(network.named_parameters())
    averages = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    decays = lambda parameter: decay_all or parameter.dim() > 1
    groups = [
        {"params": [p for p in parameters.values() if decays(p)], "weight_decay": training["weight_decay"]},
        {"params": [p for p in parameters.values() if not decays(p)], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.999), eps=1e-8)

    log = {"loss": [], "gradient_norm": [], "learning_rate": []}
    for step in range(1, training["steps"] + 1):
        tensors, metadata = read_safetensors(draws / f"step_{step:05}.safetensors")
        problem = network_problem(tensors, json.loads(metadata["alpha_bars"]), config["network"])
        given, level, target = (tensor.to(dtype) for tensor in problem)
        mask = tensors["mask"].to(dtype)
        errors = (mask * (network(given, level) - target) ** 2).flatten(1).sum(1)
        loss = (errors / mask.flatten(1).sum(1).clamp(min=1)).mean()
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(parameters.values(), training["gradient_clip_norm"])
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(training, step)
        optimizer.step()
        share = 1 - min(training["ema_decay"], step / (9 + step))
        for name, average in averages.items():
            average.lerp_(parameters[name].detach(), share)
        for key, value in [("loss", loss.item()), ("gradient_norm", norm.item()), ("learning_rate", group["lr"])]:
            log[key].append(value)
    torch.set_default_dtype(torch.float32)
    weights = {name: parameter.detach() for name, parameter in parameters.items()}
    return {**{key: np.array(values) for key, values in log.items()}, "weights": weights, "averages": averages}


def train_finescale(a, config, run):
    """The same from `finescale train`."""
    call([a.finescale, "train", config, "--out", run, "--threads", a.threads, "--quiet"])
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "loss" in line]
    state, _ = read_safetensors(run / "state.safetensors")
    of = lambda part: {name.removeprefix(part): state[name] for name in state if name.startswith(part)}
    logs = {key: np.array([line[key] for line in steps]) for key in ("loss", "gradient_norm", "learning_rate")}
    return {**logs, "weights": of("weights/"), "averages": of("averages/")}


def call(command):
    command = [str(word) for word in command]
    try:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    except FileNotFoundError:
        sys.exit(f"there is no {command[0]}: build it as the head of this script says")
    except subprocess.CalledProcessError as error:
        sys.exit(f"exit code {error.returncode} of: {' '.join(command)}")


def distance(one, other, key):
    """|one - other| / |other|, all tensors together."""
    assert one[key].keys() == other[key].keys()
    norm = lambda tensors: math.sqrt(sum(tensor.double().square().sum().item() for tensor in tensors))
    pairs = [(one[key][name].double(), other[key][name].double()) for name in one[key]]
    return norm(x - y for x, y in pairs) / norm(y for _, y in pairs)


def differences(one, other):
    """Relative differences of two runs, by name."""
    found = {}
    loss = np.abs(one["loss"] / other["loss"] - 1)
    for window in [window for window in WINDOWS if window <= len(loss)]:
        found[f"loss, max of {window}"] = loss[:window].max()
        found[f"loss, median of {window}"] = np.median(loss[:window])
    found["gradient norm, median"] = np.median(np.abs(one["gradient_norm"] / other["gradient_norm"] - 1))
    return {**found, **{key: distance(one, other, key) for key in ("weights", "averages")}}


def disagreements(run, reference, noise):
    """What differs by more than `noise`, the differences of runs that should not, allows; each as a sentence."""
    for key in ("loss", "gradient_norm"):
        first = abs(run[key][0] / reference[key][0] - 1)
        if not first <= FIRST_STEP:
            yield f"{key} of the first step: {first:.1e}, allowed {FIRST_STEP:.0e}"
    rates = np.abs(run["learning_rate"] / reference["learning_rate"] - 1).max()
    if not rates <= RATE:
        yield f"learning rates: {rates:.1e}, allowed {RATE:.0e}"
    for name, found in differences(run, reference).items():
        allowed = max(ROUNDING, FACTOR * max(each[name] for each in noise))
        if not found <= allowed:
            yield f"{name}: {found:.1e}, allowed {allowed:.1e}"


def table(others, reference):
    yield f"Relative difference from {reference}:\n"
    yield "| | " + " | ".join(others) + " |"
    yield "|---|" + "---|" * len(others)
    for name in others["finescale"]:
        yield f"| {name} | " + " | ".join(f"{found[name]:.1e}" for found in others.values()) + " |"


def draw_figure(path, runs, reference):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (upper, lower) = pyplot.subplots(2, 1, figsize=(8, 8), sharex=True)
    steps = np.arange(1, len(runs[reference]["loss"]) + 1)
    upper.plot(steps, runs[reference]["loss"], color="black", linewidth=4, alpha=0.3, label=reference)
    upper.plot(steps, runs["finescale"]["loss"], linewidth=1, label="finescale")
    for name, run in runs.items():
        if name != reference:
            width = 1.5 if name == "finescale" else 0.8
            # Equal losses are shown at 1e-9.
            difference = np.abs(run["loss"] / runs[reference]["loss"] - 1) + 1e-9
            lower.semilogy(steps, difference, linewidth=width, label=name)
    upper.set_ylabel("loss")
    lower.set(xlabel="update", ylabel=f"relative difference from {reference}")
    upper.legend()
    lower.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=2)
    figure.savefig(path, dpi=120, bbox_inches="tight")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prediction", default="edm", choices=["edm", "epsilon"], help="epsilon: as the paper")
    parser.add_argument("--steps", default=200, type=count)
    parser.add_argument("--threads", default=1, type=count)
    parser.add_argument("--finescale", default="target/release/finescale")
    parser.add_argument("--export-draws", default="target/release/examples/export_draws")
    parser.add_argument("--f64", action="store_true", help="also run the twin in f64, which is slow")
    parser.add_argument("--out", type=Path, help="folder for the figure and the numbers")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)

    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        call([a.finescale, "mock", *MOCK, "--output", folder / "boxes", "--quiet"])
        config, path, draws = configuration(a, folder / "boxes"), folder / "config.json", folder / "draws"
        path.write_text(json.dumps(config))
        call([a.export_draws, path, draws, a.steps])
        reference, control = "PyTorch", "PyTorch, biases decay too"
        perturbed = [f"PyTorch, last bits {number}" for number in range(1, PERTURBED_RUNS + 1)]
        plans = {
            "finescale": lambda: train_finescale(a, path, folder / "run"),
            reference: lambda: train_pytorch(config, draws),
            **{name: partial(train_pytorch, config, draws, perturb=n) for n, name in enumerate(perturbed)},
            **({"PyTorch, f64": lambda: train_pytorch(config, draws, dtype=torch.float64)} if a.f64 else {}),
            control: lambda: train_pytorch(config, draws, decay_all=True),
        }
        runs = {}
        for name, plan in plans.items():
            started = time.perf_counter()
            runs[name] = plan()
            print(f"{name}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)

    others = {name: differences(run, runs[reference]) for name, run in runs.items() if name != reference}
    noise = [others[name] for name in perturbed]
    print(*table(others, reference), sep="\n")
    if a.out:
        a.out.mkdir(parents=True, exist_ok=True)
        of = lambda key: {name: run[key].tolist() for name, run in runs.items()}
        results = {"pytorch": torch.__version__, "config": config, "differences": others}
        results |= {"losses": of("loss"), "gradient_norms": of("gradient_norm")}
        (a.out / "compare_training.json").write_text(json.dumps(results, indent=1) + "\n")
        draw_figure(a.out / "compare_training.png", runs, reference)

    found = list(disagreements(runs["finescale"], runs[reference], noise))
    if found:
        sys.exit("\n".join(["finescale and PyTorch do not train alike:", *found]))
    if not list(disagreements(runs[control], runs[reference], noise)):
        sys.exit("this comparison shows nothing: the twin with a mistake passes as well")
    print(f"\nThe same training, within {FACTOR} times what last bits make; a twin with a mistake fails. PyTorch {torch.__version__}")


if __name__ == "__main__":
    main()
