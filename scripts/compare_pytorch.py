#!/usr/bin/env python3
"""Times the network against its twin in plain PyTorch on this machine's CPU, and prints a Markdown table.

The twin is written from crates/denoiser/src/plan.rs and has the reference's parameter names; --check shows that it
is the same network. PyTorch and finescale take turns, each measurement in a process of its own, so that a busy
machine slows both and the peaks of memory do not mix; PyTorch's peak includes its libraries. Seconds are those of one
evaluation of the whole batch; the ratio is PyTorch's over finescale's. What surrounds the network (noise scales,
clamping) costs next to nothing and is left out of the twin. In mode train the twin drops units as configured.

    pip install torch numpy
    ./scripts/compare_pytorch.py --check
    ./scripts/compare_pytorch.py --config configs/tng300.json --json runs/pytorch.json
"""
import argparse
import datetime
import json
import math
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from statistics import median, median_high

try:
    import numpy as np
    import torch
    import torch.nn.functional as F
    from torch import nn
except ImportError as error:
    sys.exit(f"{error}: this script needs PyTorch; pip install torch numpy")

GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "golden"
# Largest difference over largest value: f32 sums in another order, through a dozen layers.
RELATIVE = 1e-5
# A noise level in the middle of sampling, as in `finescale bench`.
ALPHA_BAR = 0.5


def zeroed(layer):
    """A layer that starts as nothing, so that its block starts as the identity."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def conv3(inputs, outputs):
    return nn.Conv3d(inputs, outputs, kernel_size=3, padding=1)


def keep(x):
    return x


def halve(x):
    return F.avg_pool3d(x, 2)


def double(x):
    return F.interpolate(x, scale_factor=2, mode="nearest")


def level_embedding(level, channels):
    """level (b,) -> cosines, then sines, at frequencies from 1 towards 1 / 10 000 (b, channels)."""
    half = channels // 2
    frequencies = torch.exp(torch.arange(half) * (-math.log(10_000) / half))
    phase = torch.outer(level, frequencies)
    return torch.cat([phase.cos(), phase.sin()], dim=1)


class ResidualBlock(nn.Module):
    """Two convolutions around a norm that the noise level scales and shifts, added to the input."""

    def __init__(self, network, inputs, outputs, resample=keep):
        super().__init__()
        groups, wide = network["norm_groups"], 4 * network["base_channels"]
        self.resample, self.dropout = resample, nn.Dropout(network["dropout"])
        # The gaps in the numbers are the reference's layers without parameters.
        self.in_layers = nn.ModuleDict({"0": nn.GroupNorm(groups, inputs), "2": conv3(inputs, outputs)})
        self.emb_layers = nn.ModuleDict({"1": nn.Linear(wide, 2 * outputs)})
        self.out_layers = nn.ModuleDict({"0": nn.GroupNorm(groups, outputs), "3": zeroed(conv3(outputs, outputs))})
        self.skip_connection = nn.Identity() if inputs == outputs else nn.Conv3d(inputs, outputs, kernel_size=1)

    def forward(self, x, embedding):
        hidden = self.in_layers["2"](self.resample(F.silu(self.in_layers["0"](x))))
        scale, shift = self.emb_layers["1"](embedding)[:, :, None, None, None].chunk(2, dim=1)
        hidden = F.silu(self.out_layers["0"](hidden) * (1 + scale) + shift)
        return self.skip_connection(self.resample(x)) + self.out_layers["3"](self.dropout(hidden))


class AttentionBlock(nn.Module):
    """Self-attention over all points, added to the input."""

    def __init__(self, network, channels):
        super().__init__()
        self.heads = channels // network["head_channels"]
        self.norm = nn.GroupNorm(network["norm_groups"], channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, kernel_size=1)
        self.proj_out = zeroed(nn.Conv1d(channels, channels, kernel_size=1))

    def forward(self, x):
        points = x.flatten(2)  # (b, c, n0 n1 n2)
        # Heads are split first, then query, key and value.
        by_head = self.qkv(self.norm(points)).unflatten(1, (self.heads, -1)).transpose(2, 3).contiguous()
        query, key, value = by_head.chunk(3, dim=3)  # (b, heads, n0 n1 n2, head channels)
        mixed = F.scaled_dot_product_attention(query, key, value).transpose(2, 3).flatten(1, 2)
        return (points + self.proj_out(mixed)).view_as(x)


class UNet(nn.Module):
    """The network of a configuration: (b, condition + noisy channels, n0, n1, n2), level (b,) -> (b, 1, n0, n1, n2)."""

    def __init__(self, network):
        super().__init__()
        network = {"dropout": 0.0, "condition_channels": 1, "known_channels": False, **network}
        self.base, blocks = network["base_channels"], network["residual_blocks"]
        widths = [self.base * multiplier for multiplier in network["channel_multipliers"]]
        inputs = network["condition_channels"] + (2 if network["known_channels"] else 0) + 1
        residual, wide = partial(ResidualBlock, network), 4 * self.base
        self.cond_embed = nn.ModuleDict({"0": nn.Linear(self.base, wide), "2": nn.Linear(wide, wide)})

        channels = widths[0]
        stages, skips = [[conv3(inputs, channels)]], [channels]
        for level, width in enumerate(widths):
            for _ in range(blocks):
                stages.append([residual(channels, width)])
                channels = width
                skips.append(channels)
            if level + 1 < len(widths):
                stages.append([residual(channels, channels, halve)])
                skips.append(channels)
        self.input_blocks = nn.ModuleList(map(nn.ModuleList, stages))

        middle = [residual(channels, channels), AttentionBlock(network, channels), residual(channels, channels)]
        self.middle_block = nn.ModuleList(middle)

        stages = []
        for level, width in reversed(list(enumerate(widths))):
            for block in range(blocks + 1):
                stages.append([residual(channels + skips.pop(), width)])
                channels = width
                if level > 0 and block == blocks:
                    stages[-1].append(residual(width, width, double))
        self.output_blocks = nn.ModuleList(map(nn.ModuleList, stages))
        self.out = nn.ModuleDict({"0": nn.GroupNorm(network["norm_groups"], channels), "2": zeroed(conv3(channels, 1))})

    def forward(self, x, level):
        embedding = F.silu(self.cond_embed["0"](level_embedding(level, self.base)))
        embedding = F.silu(self.cond_embed["2"](embedding))  # (b, 4 base), as every block wants it
        [first], *downward = self.input_blocks
        x = first(x)
        skips = [x]
        for [block] in downward:
            x = block(x, embedding)
            skips.append(x)
        before, attention, after = self.middle_block
        x = after(attention(before(x, embedding)), embedding)
        for stage in self.output_blocks:
            x = torch.cat([x, skips.pop()], dim=1)
            for block in stage:
                x = block(x, embedding)
        return self.out["2"](F.silu(self.out["0"](x)))

    def parameter_count(self):
        return sum(parameter.numel() for parameter in self.parameters())


def measure_pytorch(a):
    """One measurement of the twin, in the words of `finescale bench --json`."""
    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    config = json.loads(a.config.read_text())
    cells = config["training"]["patch_cells"]
    network = UNet(config["network"]).train(a.mode == "train")
    noisy = torch.randn(a.batch, 1, cells, cells, cells)
    condition = torch.randn(a.batch, network.input_blocks[0][0].in_channels - 1, cells, cells, cells)
    level = torch.full((a.batch,), ALPHA_BAR)

    def evaluate():
        started = time.perf_counter()
        if a.mode == "forward":
            with torch.inference_mode():
                network(torch.cat([condition, noisy], dim=1), level).sum().item()
        else:
            network.zero_grad(set_to_none=True)
            F.mse_loss(network(torch.cat([condition, noisy], dim=1), level), noisy).backward()
        return time.perf_counter() - started

    evaluate()  # Warm up.
    # Of an even number the upper one, as `finescale bench` counts.
    seconds = median_high([evaluate() for _ in range(a.repeat)])
    return {
        "parameters": network.parameter_count(),
        "seconds_per_evaluation": seconds,
        "peak_memory_bytes": peak_memory_bytes(),
        "threads": torch.get_num_threads(),
    }


def on_card(a):
    """The twin on an NVIDIA card, as PyTorch does it plainly and at its best, for `finescale bench --device cuda:0` to stand beside."""
    config = json.loads(a.config.read_text())
    cells = config["training"]["patch_cells"]
    ways = {  # precision of products, autocast, layout and compiler
        "f32": (False, None, False),
        "tf32": (True, None, False),
        "bf16, channels last, compiled": (True, torch.bfloat16, True),
    }
    for way, (tf32, autocast, is_best) in ways.items():
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
        torch.backends.cudnn.benchmark = True
        network = UNet(config["network"]).cuda()
        x = torch.randn(a.batch, network_input_channels(network), cells, cells, cells, device="cuda")
        if is_best:
            network = network.to(memory_format=torch.channels_last_3d)
            x = x.contiguous(memory_format=torch.channels_last_3d)
        level = torch.full((a.batch,), ALPHA_BAR, device="cuda")
        run = torch.compile(network) if is_best else network
        for mode in ["forward", "train"]:

            def evaluate():
                with torch.autocast("cuda", autocast, enabled=autocast is not None):
                    if mode == "forward":
                        with torch.inference_mode():
                            run(x, level)
                    else:
                        network.zero_grad(set_to_none=True)
                        run(x, level).float().square().mean().backward()

            torch.cuda.reset_peak_memory_stats()
            for _ in range(3):
                evaluate()
            torch.cuda.synchronize()
            seconds = []
            for _ in range(a.repeat):
                started = time.perf_counter()
                evaluate()
                torch.cuda.synchronize()
                seconds.append(time.perf_counter() - started)
            peak = torch.cuda.max_memory_allocated() / 1e9
            print(f"{a.config.stem}, {mode}, batch {a.batch}, {way}: {1e3 * median(seconds):.1f} ms, {peak:.1f} GB", flush=True)
    print(f"PyTorch {torch.__version__} on {torch.cuda.get_device_name()}")


def network_input_channels(network):
    """Channels that the first convolution takes."""
    return next(layer.in_channels for layer in network.modules() if isinstance(layer, nn.Conv3d))


def peak_memory_bytes():
    """Most memory of this process so far. Not ru_maxrss, which starts with that of the process it was forked from."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def result_of(command):
    """Runs a command whose last line is a JSON object."""
    command = [str(word) for word in command]
    try:
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    except FileNotFoundError:
        sys.exit(f"there is no {command[0]}: cargo build --release, or say where with --finescale")
    except subprocess.CalledProcessError as error:
        sys.exit(f"exit code {error.returncode} of: {' '.join(command)}")
    return json.loads(done.stdout.splitlines()[-1])


def run_pytorch(a, mode):
    work = ["--config", a.config, "--mode", mode, "--batch", a.batch, "--repeat", a.repeat, "--threads", a.threads]
    return result_of([sys.executable, __file__, "--measure-pytorch", *work])


def run_finescale(a, mode, repeat):
    work = ["--config", a.config, "--mode", mode, "--repeat", repeat, "--threads", a.threads]
    if a.batch != 1:
        work += ["--batch", a.batch]
    return result_of([a.finescale, "bench", "--json", *work])


def require_same_parameters(pytorch, finescale):
    if pytorch != finescale:
        sys.exit(f"not the same network: {pytorch} parameters in PyTorch, {finescale} in finescale")


def check(a):
    """The twin against the output of the reference's own code, and its size against finescale's."""
    golden = json.loads((GOLDEN / "palette_small.json").read_text())["config"]
    shape = {
        "base_channels": golden["inner_channel"],
        "channel_multipliers": golden["channel_mults"],
        "residual_blocks": golden["res_blocks"],
        "head_channels": golden["num_head_channels"],
        "norm_groups": 32,
    }
    network = UNet(shape)
    state = torch.load(GOLDEN / "palette_small.pth", map_location="cpu", weights_only=True)
    prefix = "denoise_fn."
    # Strict: every name of the reference's network, and no other.
    network.load_state_dict({name.removeprefix(prefix): state[name] for name in state if name.startswith(prefix)})
    arrays = np.load(GOLDEN / "palette_small.npz")
    condition, clean, level, expected = (
        torch.from_numpy(arrays[name]) for name in ("lr", "y0", "gamma", "denoiser_output")
    )
    with torch.inference_mode():
        output = network.eval()(torch.cat([condition, clean], dim=1), level.float())
    difference = ((output - expected).abs().max() / expected.abs().max()).item()
    print(f"golden output: largest difference / largest value {difference:.1e}, allowed {RELATIVE:.0e}")
    if not difference <= RELATIVE:
        sys.exit("the PyTorch network is not the reference's")

    with torch.device("meta"):
        parameters = UNet(json.loads(a.config.read_text())["network"]).parameter_count()
    require_same_parameters(parameters, run_finescale(a, "forward", 1)["parameters"])
    print(f"{a.config}: {parameters} parameters in both")


def compare(a, mode):
    """Measurements that take turns, and their summary."""
    rounds = []
    for number in range(1, a.rounds + 1):
        pytorch, finescale = run_pytorch(a, mode), run_finescale(a, mode, a.repeat)
        require_same_parameters(pytorch["parameters"], finescale["parameters"])
        rounds.append({"pytorch": pytorch, "finescale": finescale})
        both = [f"{name} {result['seconds_per_evaluation']:.3f} s" for name, result in rounds[-1].items()]
        print(f"{mode}, round {number} of {a.rounds}:", *both, file=sys.stderr, flush=True)
    of = lambda name, key: [each[name][key] for each in rounds]
    seconds = {name: of(name, "seconds_per_evaluation") for name in ("pytorch", "finescale")}
    ratios = [p / f for p, f in zip(seconds["pytorch"], seconds["finescale"])]
    return {
        "network": a.config.stem,
        "mode": mode,
        "batch": a.batch,
        "parameters": rounds[0]["pytorch"]["parameters"],
        "pytorch_seconds": median(seconds["pytorch"]),
        "finescale_seconds": median(seconds["finescale"]),
        "ratio": median(seconds["pytorch"]) / median(seconds["finescale"]),
        "ratio_range": [min(ratios), max(ratios)],
        "pytorch_peak_memory_bytes": max(of("pytorch", "peak_memory_bytes")),
        "finescale_peak_memory_bytes": max(of("finescale", "peak_memory_bytes")),
        "rounds": rounds,
    }


def table(summaries):
    yield "| network | mode | batch | PyTorch [s] | finescale [s] | ratio (of the rounds) | PyTorch peak | finescale peak |"
    yield "|---|---|---|---|---|---|---|---|"
    for s in summaries:
        low, high = s["ratio_range"]
        memory = [f"{s[name + '_peak_memory_bytes'] / 1e9:.2f} GB" for name in ("pytorch", "finescale")]
        yield (
            f"| {s['network']} | {s['mode']} | {s['batch']} | {s['pytorch_seconds']:.3f} | {s['finescale_seconds']:.3f} "
            f"| {s['ratio']:.2f} ({low:.2f}-{high:.2f}) | {' | '.join(memory)} |"
        )


def cpu_model():
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown CPU")


def count(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="configs/tng300.json", type=Path, help="has the network and its patches")
    parser.add_argument("--mode", default="both", choices=["forward", "train", "both"])
    parser.add_argument("--batch", default=1, type=count, help="patches per evaluation")
    parser.add_argument("--rounds", default=5, type=count, help="measurements of each")
    parser.add_argument("--repeat", default=3, type=count, help="evaluations per measurement, after one to warm up")
    parser.add_argument("--threads", default=len(os.sched_getaffinity(0)), type=count, help="default: all cores")
    parser.add_argument("--finescale", default="target/release/finescale")
    parser.add_argument("--json", type=Path, help="file for all measurements")
    parser.add_argument("--check", action="store_true", help="compare the networks, not the times")
    parser.add_argument("--on-card", action="store_true", help="time PyTorch alone, on an NVIDIA card")
    parser.add_argument("--measure-pytorch", action="store_true", help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.measure_pytorch:
        return print(json.dumps(measure_pytorch(a)))
    if a.on_card:
        return on_card(a)
    if a.check:
        return check(a)

    load = os.getloadavg()[0]
    summaries = [compare(a, mode) for mode in (["forward", "train"] if a.mode == "both" else [a.mode])]
    machine = {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "threads": a.threads,
        "load_before": load,
        "pytorch": torch.__version__,
        "commit": summaries[0]["rounds"][0]["finescale"]["commit"],
        "date": datetime.date.today().isoformat(),
    }
    print(*table(summaries), sep="\n")
    print(
        f"\n{machine['cpu']}, {machine['cores']} cores, {a.threads} threads, load {load:.1f} before; "
        f"PyTorch {machine['pytorch']}; finescale {machine['commit']}; {machine['date']}; {a.rounds} rounds of {a.repeat}"
    )
    if a.json:
        a.json.write_text(json.dumps({"machine": machine, "results": summaries}, indent=1) + "\n")


if __name__ == "__main__":
    main()
