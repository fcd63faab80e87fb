#!/usr/bin/env python3
"""Trains and samples the paper's own procedure in plain PyTorch on CPUs, for a budget of CPU time, beside finescale.

The paper is Rouhiainen et al. 2023, arXiv:2311.05217; what its text leaves open is taken from its code,
github.com/adamrouhiainen/3D-Diffusion. Boxes are folders of condition.hdf5 and truth.hdf5 as of `finescale mock`.

The paper's own:
- the network (that of compare_pytorch.py, which holds it to the reference's own output): dark matter and noisy gas
  in, noise out, told the noise level (alpha bar) itself; known voxels enter it as they are, unmarked;
- densities as counts: y = 2 sigmoid((log1p(count) - mean) / s) - 1, s two (gas) or four (dark matter) standard
  deviations of log1p;
- noise: betas from 1e-6 to 1e-2 in 2,000 steps; in training a level between two neighbouring ones of them;
- outpainting: all of a window is to be made, or its upper half along one, two or three axes: eight masks, alike often;
- loss: squared error of the noise over the whole window, none where voxels are known;
- Adam at 1e-4, batches of 8, dropout of 0.2, f32, no decay, no clipping; Kaiming's initial weights in all layers, even
  in those that its network's code makes zero;
- sampling: DDPM, clean estimates held in [-1, 1], known voxels put back after every step; windows in raster order, half
  a window apart, from face to face of a box, which do not close; the last weights, not the averaged ones, which its
  code keeps and does not sample from.

Changed, and why:
- windows of 32^3 and 32 channels instead of 48^3 and 64: hours of CPUs are not days of A100s. The first level keeps two
  channels a group. `--base-channels 64 --window 48` is the paper's network, of 31,511,425 parameters;
- windows are drawn anew for each update, anywhere in periodic boxes, instead of cut in advance, and turned by the six
  permutations of axes and a mirror, as the code means to do (it drops the permutations);
- sampling starts from noise; the code starts from the condition. Known voxels are there from the first step, as in
  training;
- fewer steps (`sample --steps`) visit some of the levels, more of them where there is little noise;
- densities are held between nothing and 5 % (in log1p) above the densest training voxel, since the inverse of an
  estimate at the end of [-1, 1] is infinite. The shares of such voxels are printed;
- averaged weights (`sample --weights averaged`) forget the initial ones, min(0.9999, n / (9 + n)), as short runs need;
- `--periodic` closes boxes: the last window along an axis sees both of its neighbours, and training has such masks.

Time is CPU time of the process and all its threads, with start, validation and writing; of a run that was killed and
resumed, what led to the last checkpoint. Training resumes to the bits of a run that nobody disturbed (with the same
threads), and so does sampling, window by window, by giving the same command again.

    pip install torch numpy h5py
    ./scripts/peer.py train --pairs runs/boxes/box_00* --validation runs/boxes/box_0101 --minutes 480 --out runs/peer
    ./scripts/peer.py sample --model runs/peer --condition box/condition.hdf5 --steps 250 --seed 1 -o box/sample_1.npy
    finescale compare --truth box/truth.hdf5 --condition box/condition.hdf5 --sample box/sample_1.npy \\
        --box-size 50 --tile-period 16 -o report
"""
import argparse
import hashlib
import itertools
import json
import os
import sys
import time
from functools import partial
from pathlib import Path

from compare_pytorch import UNet, count

try:
    import h5py
    import numpy as np
    import torch
    import torch.nn.functional as F
    from torch import nn
except ImportError as error:
    sys.exit(f"{error}: this script needs PyTorch; pip install torch numpy h5py")

# Of the paper's code (config/sr_mask_arepo_48px_264px_128p.json, make_training_data_arepo_48px.ipynb).
BETAS = (1e-6, 1e-2)
SHAPE = {"channel_multipliers": [1, 2, 4], "residual_blocks": 1, "head_channels": 32}
DEVIATIONS = {"condition": 4, "truth": 2}
AVERAGE = 0.9999
LEAST_VARIANCE = 1e-20
# Room above the densest training voxel, in units of the range of log1p, as field/src/normalizer.rs has it.
HEADROOM = 0.05
# Random numbers are keyed by (seed, purpose, number): a resumed run goes on with those of one that was not stopped.
WEIGHTS, UPDATE, VALIDATION, WINDOW = range(4)
# What may differ between a run and its resumption.
FREE = {"command", "minutes", "out", "resume", "save_minutes"}


# --- Boxes ---


def read_grid(path):
    """1 + delta (nx, ny, nz), particles per voxel (None if it does not say) and the voxel's side in Mpc/h."""
    try:
        with h5py.File(path) as file:
            field, sizes = file["field"][:], np.atleast_1d(file.attrs["box_size_mpc_h"])
            return field, file.attrs.get("mean"), float(sizes[0] / field.shape[0])
    except (OSError, KeyError) as error:
        sys.exit(f"{path}: is no grid file of finescale: {error}")


class Sigmoid:
    """The paper's transform between densities 1 + delta and the network's values in (-1, 1)."""

    def __init__(self, mean_count, mu, s, top):
        self.mean_count, self.mu, self.s, self.top = mean_count, mu, s, top

    @classmethod
    def fit(cls, fields, mean_count, deviations):
        logs = [np.log1p(mean_count * field.astype(np.float64)) for field in fields]
        mu = np.mean([log.mean() for log in logs])
        deviation = np.mean([np.square(log - mu).mean() for log in logs]) ** 0.5
        top = (1 + HEADROOM) * max(log.max() for log in logs)
        return cls(float(mean_count), float(mu), float(deviations * deviation), float(top))

    def values(self, density):
        log = np.log1p(self.mean_count * density.astype(np.float64))
        return np.tanh((log - self.mu) / (2 * self.s)).astype(np.float32)  # 2 sigmoid(z) - 1 = tanh(z / 2)

    def density(self, values):
        """The densities, and the shares of voxels that are held at nothing and at the top."""
        with np.errstate(divide="ignore"):
            log = self.mu + 2 * self.s * np.arctanh(values.astype(np.float64))
        density = np.expm1(log.clip(0, self.top)) / self.mean_count
        return density.astype(np.float32), float((log < 0).mean()), float((log > self.top).mean())


def read_pairs(folders, window):
    """Grids of all boxes by name, once they are fit for windows of so many cells."""
    grids = {name: [read_grid(folder / f"{name}.hdf5") for folder in folders] for name in DEVIATIONS}
    for name, voxel in ((name, grid[2]) for name in grids for grid in grids[name]):
        if abs(voxel / grids["truth"][0][2] - 1) > 1e-3:
            sys.exit(f"voxels of {voxel:.4f} and {grids['truth'][0][2]:.4f} Mpc/h: a model has one voxel size")
    for folder, condition, truth in zip(folders, grids["condition"], grids["truth"]):
        if condition[0].shape != truth[0].shape:
            sys.exit(f"{folder}: condition {condition[0].shape} and truth {truth[0].shape} are no pair")
        if min(truth[0].shape) < window:
            sys.exit(f"{folder}: {truth[0].shape} cells hold no window of {window}")
    return grids


def region(corner, window, shape):
    """Index of the window of a periodic field whose first voxel is `corner`."""
    return np.ix_(*((first + np.arange(window)) % cells for first, cells in zip(corner, shape)))


# --- Diffusion ---


def alpha_bars(steps):
    """Of the paper's schedule, from clean to noisy (steps,), in f64."""
    return np.cumprod(1 - np.linspace(*BETAS, steps))


def some(levels, steps):
    """`steps` of the levels, all of them if there are so many. Of fewer, those next to the clean end follow each other;
    then their numbers rise as a square, up to the noisiest.

    Evenly spaced ones would lose power: of white Gaussian data with a deviation of 0.1 in y, 250 of 2,000 steps keep
    80 % evenly spaced, 95 % like this, and all of them 97 %. Squares: Song et al. 2020, arXiv:2010.02502, appendix D.2.
    """
    number = np.arange(steps)
    squares = (len(levels) - 1) * (number / max(steps - 1, 1)) ** 2
    return levels[np.maximum(number, squares.round().astype(int))]


def noised(clean, alpha_bar, noise):
    """Ho et al. 2020, arXiv:2006.11239, eq. 4; alpha_bar (b, 1, 1, 1, 1)."""
    return alpha_bar.sqrt() * clean + (1 - alpha_bar).sqrt() * noise


def loss_of(network, condition, clean, mask, alpha_bar, noise):
    """The paper's: mask is 1 where voxels are to be made; all voxels of the batch divide it."""
    seen = mask * noised(clean, alpha_bar, noise) + (1 - mask) * clean
    return F.mse_loss(mask * network(torch.cat([condition, seen], dim=1), alpha_bar.flatten()), mask * noise)


def ancestral(noise_of, levels, start, known, mask, noise):
    """The state after all steps (arXiv:2006.11239, algorithm 2).

    levels: from clean to noisy; noise_of(state, alpha_bar): the noise that is in a state; known: what voxels are where
    mask is 0; noise(step): fresh noise of the state's shape.
    """
    state = start
    for step in reversed(range(len(levels))):
        now, after = float(levels[step]), float(levels[step - 1]) if step else 1.0
        beta = 1 - now / after
        clean = (state - (1 - now) ** 0.5 * noise_of(state, now)) / now**0.5
        # eq. 7, of the levels that are visited.
        of_clean, of_state = beta * after**0.5 / (1 - now), (1 - after) * (now / after) ** 0.5 / (1 - now)
        mean = of_clean * clean.clamp(-1, 1) + of_state * state
        variance = max(beta * (1 - after) / (1 - now), LEAST_VARIANCE)
        state = mean + variance**0.5 * noise(step) if step else mean
        state = mask * state + (1 - mask) * known
    return state


# --- Training ---


def key(*numbers):
    """A seed made of numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])


def make_network(s):
    """The network of settings, with initial weights as of the paper's code (core/base_network.py)."""
    torch.manual_seed(key(s["seed"], WEIGHTS))
    network = UNet({**SHAPE, **{name: s[name] for name in ("base_channels", "norm_groups", "dropout")}})
    for layer in network.modules():
        if isinstance(layer, (nn.Conv3d, nn.Conv1d, nn.Linear)) and s["initial"] == "kaiming":
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
    return network


def halves(random, s):
    """Which voxels of a window are to be made (1): along each axis all or the upper half, or the middle if periodic."""
    half, quarter = s["window"] // 2, s["window"] // 4
    kinds = [slice(None), slice(half, None), slice(quarter, quarter + half)][: 3 if s["periodic"] else 2]
    mask = np.zeros([s["window"]] * 3, np.float32)
    mask[tuple(kinds[random.integers(len(kinds))] for _ in range(3))] = 1
    return mask


def draw(boxes, s, levels, batch, *numbers):
    """What an update sees: condition, clean, mask, noise (b, 1, n, n, n), alpha_bar (b, 1, 1, 1, 1). Dropout follows."""
    random = np.random.default_rng(numbers)
    torch.manual_seed(key(*numbers))
    drawn = {"condition": [], "clean": [], "mask": [], "alpha_bar": []}
    for _ in range(batch):
        box = boxes[random.integers(len(boxes))]
        shape = box[0].shape
        window = region([random.integers(cells) for cells in shape], s["window"], shape)
        axes, mirror = random.permutation(3), slice(None, None, random.choice([1, -1]))
        for name, field in zip(("condition", "clean"), box):
            drawn[name].append(field[window].transpose(axes)[..., mirror])
        drawn["mask"].append(halves(random, s))
        step = random.integers(1, len(levels))
        drawn["alpha_bar"].append(levels[step] + (levels[step - 1] - levels[step]) * random.random())
    tensors = {name: torch.from_numpy(np.stack(values)[:, None].astype(np.float32)) for name, values in drawn.items()}
    noise = torch.randn_like(tensors["clean"])
    return {**tensors, "alpha_bar": tensors["alpha_bar"][..., None, None, None], "noise": noise}


@torch.no_grad()
def validation_loss(network, batches):
    network.eval()
    loss = float(np.mean([loss_of(network, **batch).item() for batch in batches]))
    network.train()
    return loss


def replace(path, write):
    """Writes a file that appears under its name when it is whole."""
    part = path.with_name(path.name + ".part")
    with open(part, "wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def load(path):
    return torch.load(path, map_location="cpu", weights_only=True)


def train(a):
    torch.set_num_threads(a.threads)
    s = {name: value for name, value in vars(a).items() if name not in FREE}
    s = {name: [str(path) for path in value] if name in ("pairs", "validation") else value for name, value in s.items()}
    state_path, log_path = a.out / "state.pt", a.out / "log.jsonl"
    if state_path.exists() and not a.resume:
        sys.exit(f"{a.out}: holds a run already; --resume goes on with it")
    a.out.mkdir(parents=True, exist_ok=True)

    grids = read_pairs(a.pairs, a.window)
    means = {"condition": grids["condition"][0][1], "truth": a.truth_mean_count or grids["truth"][0][1]}
    if None in means.values():
        sys.exit(f"{a.pairs[0]}: condition and truth must say their mean, the particles per voxel, or --truth-mean-count")
    sigmoids = {
        name: Sigmoid.fit([grid[0] for grid in grids[name]], means[name], deviations)
        for name, deviations in DEVIATIONS.items()
    }
    prepared = lambda grids: list(zip(*([sigmoids[name].values(grid[0]) for grid in grids[name]] for name in sigmoids)))
    boxes, levels = prepared(grids), alpha_bars(a.noise_steps)
    checked = prepared(read_pairs(a.validation, a.window))
    batches = [draw(checked, s, levels, a.batch, a.seed, VALIDATION, number) for number in range(a.validation_batches)]

    network, averaged = make_network(s), make_network(s).requires_grad_(False)
    optimizer = torch.optim.Adam(network.parameters(), lr=a.learning_rate)
    update, before = 0, 0.0
    if state_path.exists():
        state = load(state_path)
        if state["settings"] != s:
            differ = [name for name in s if state["settings"].get(name) != s[name]]
            sys.exit(f"{a.out}: was begun with other settings ({', '.join(differ)}): say those, or choose a new --out")
        network.load_state_dict(state["network"])
        averaged.load_state_dict(state["averaged"])
        optimizer.load_state_dict(state["optimizer"])
        update, before = state["update"], state["cpu_seconds"]
    # What a killed run logged after its last checkpoint comes again.
    lines = log_path.read_text().splitlines(keepends=True) if log_path.exists() else []
    kept = [line for line in lines if line.endswith("\n") and json.loads(line)["update"] <= update]
    replace(log_path, lambda file: file.write("".join(kept).encode()))

    spent = lambda: before + time.process_time()
    parameters = network.parameter_count()
    print(f"{parameters} parameters; from update {update}, {spent():.0f} CPU s", file=sys.stderr, flush=True)

    def save():
        state = {"settings": s, "update": update, "cpu_seconds": spent(), "voxel_mpc_h": grids["truth"][0][2]}
        state |= {"sigmoids": {name: vars(sigmoid) for name, sigmoid in sigmoids.items()}}
        state |= {"network": network.state_dict(), "averaged": averaged.state_dict()}
        state |= {"optimizer": optimizer.state_dict()}
        replace(state_path, partial(torch.save, state))

    saved = time.monotonic()
    network.train()
    with open(log_path, "a") as log:
        while spent() < 60 * a.minutes:
            update += 1
            loss = loss_of(network, **draw(boxes, s, levels, a.batch, a.seed, UPDATE, update))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            share = 1 - min(AVERAGE, update / (9 + update))
            with torch.no_grad():
                for average, parameter in zip(averaged.parameters(), network.parameters()):
                    average.lerp_(parameter, share)
            line = {"update": update, "cpu_seconds": round(spent(), 2), "loss": loss.item()}
            if update % a.validate_every == 0:
                line["validation_loss"] = validation_loss(network, batches)
                line["validation_loss_averaged"] = validation_loss(averaged, batches)
            print(json.dumps(line), file=log, flush=True)
            if time.monotonic() - saved > 60 * a.save_minutes:
                save()
                saved = time.monotonic()
    save()
    print(json.dumps({"updates": update, "cpu_seconds": spent(), "parameters": parameters}))


# --- Sampling ---


def starts(cells, window, periodic):
    """First voxels of the windows along an axis, half a window apart; a last one that sees both ends closes a period."""
    half = window // 2
    least = 3 * half if periodic else window
    if cells < least or cells % half:
        sys.exit(f"{cells} cells along an axis: windows of {window} need a multiple of {half}, and {least} at least")
    opened = list(range(0, cells - half, half))
    return opened[:-1] + [cells - half - half // 2] if periodic else opened


def raster(shape, window, periodic):
    """Corners of all windows, in the paper's order."""
    return list(itertools.product(*(starts(cells, window, periodic) for cells in shape)))


@torch.inference_mode()
def make_window(network, condition, known, mask, levels, seed):
    """One window; all (n, n, n)."""
    condition, known, mask = (torch.from_numpy(values.copy())[None, None] for values in (condition, known, mask))
    generator = torch.Generator().manual_seed(seed)
    noise = lambda step=None: torch.randn(known.shape, generator=generator)
    noise_of = lambda state, level: network(torch.cat([condition, state], dim=1), torch.full((1,), level))
    start = mask * noise() + (1 - mask) * known
    return ancestral(noise_of, levels, start, known, mask, noise)[0, 0].numpy()


def sample(a):
    torch.set_num_threads(a.threads)
    began = time.monotonic()
    digest = lambda path: hashlib.sha256(Path(path).read_bytes()).hexdigest()
    model_path, work = a.model / "state.pt", a.output.with_name(a.output.name + ".work")
    if a.output.suffix != ".npy":
        sys.exit(f"{a.output}: samples are written as .npy")
    if a.output.exists():
        sys.exit(f"{a.output}: is there already")
    model = load(model_path)
    s, sigmoids = model["settings"], {name: Sigmoid(**sigmoid) for name, sigmoid in model["sigmoids"].items()}
    network = make_network(s).eval()
    network.load_state_dict(model["network" if a.weights == "last" else "averaged"])
    if not 1 <= a.steps <= s["noise_steps"]:
        sys.exit(f"--steps {a.steps}: the schedule has {s['noise_steps']}")
    levels = some(alpha_bars(s["noise_steps"]), a.steps)

    density, _, voxel = read_grid(a.condition)
    if abs(voxel / model["voxel_mpc_h"] - 1) > 1e-3:
        sys.exit(f"{a.condition}: voxels of {voxel:.4f} Mpc/h, and the model was trained on {model['voxel_mpc_h']:.4f}")
    condition, corners = sigmoids["condition"].values(density), raster(density.shape, s["window"], s["periodic"])
    values, unknown = np.zeros(density.shape, np.float32), np.ones(density.shape, np.float32)

    # Windows that an interrupted run has finished.
    job = {"model": digest(model_path), "condition": digest(a.condition)}
    job |= {"steps": a.steps, "seed": a.seed, "weights": a.weights}
    done, wall, cpu = 0, 0.0, 0.0
    if work.exists():
        with np.load(work) as kept:
            if json.loads(str(kept["job"])) != job:
                sys.exit(f"{work}: was left by another model, condition or setting; remove it, or choose another name")
            values, (done, wall, cpu) = kept["values"], kept["spent"].tolist()
    spent = lambda: {"wall_seconds": wall + time.monotonic() - began, "cpu_seconds": cpu + time.process_time()}
    for number, corner in enumerate(corners):
        window = region(corner, s["window"], values.shape)
        if number >= done:
            seed = key(a.seed, WINDOW, number)
            values[window] = make_window(network, condition[window], values[window], unknown[window], levels, seed)
            keep = {"job": json.dumps(job), "values": values, "spent": [number + 1, *spent().values()]}
            replace(work, lambda file: np.savez(file, **keep))
            cpu_seconds = spent()["cpu_seconds"]
            print(f"window {number + 1} of {len(corners)}, {cpu_seconds:.0f} CPU s", file=sys.stderr, flush=True)
        unknown[window] = 0
    assert not unknown.any(), "the windows leave voxels out"

    made, at_nothing, at_top = sigmoids["truth"].density(values)
    replace(a.output, lambda file: np.save(file, made))
    work.unlink()
    found = {"mean": float(made.mean(dtype=np.float64)), "share_at_nothing": at_nothing, "share_at_top": at_top}
    trained = {"updates": model["update"], "training_cpu_seconds": model["cpu_seconds"]}
    print(json.dumps({**spent(), "windows": len(corners), **job, **found, **trained}))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)

    words = commands.add_parser("train", help="train for so many CPU minutes")
    words.add_argument("--pairs", required=True, nargs="+", type=Path, help="folders of condition.hdf5 and truth.hdf5")
    words.add_argument("--validation", required=True, nargs="+", type=Path, help="the same, of other boxes")
    words.add_argument("--minutes", required=True, type=float, help="of CPU time, of all threads together")
    words.add_argument("--out", required=True, type=Path, help="folder for state.pt and log.jsonl")
    words.add_argument("--resume", action="store_true", help="go on with what --out holds, or begin")
    words.add_argument("--base-channels", default=32, type=count, help="of the first level (the paper: 64)")
    words.add_argument("--norm-groups", type=count, help="default: half the base channels (the paper: 32)")
    words.add_argument("--window", default=32, type=count, help="cells per side (the paper: 48)")
    words.add_argument("--batch", default=8, type=count, help="windows per update (the paper: 8 on each of two cards)")
    words.add_argument("--learning-rate", default=1e-4, type=float)
    words.add_argument("--dropout", default=0.2, type=float)
    initial = ["kaiming", "zeroed"]
    words.add_argument("--initial", default="kaiming", choices=initial, help="zeroed: the last layers of blocks")
    words.add_argument("--noise-steps", default=2000, type=count)
    words.add_argument("--periodic", action="store_true", help="close periodic boxes, as the paper does not")
    words.add_argument("--truth-mean-count", type=float, help="particles per voxel, if not its file's")
    words.add_argument("--seed", default=1, type=int)
    words.add_argument("--threads", default=1, type=count)
    words.add_argument("--validate-every", default=100, type=count, help="updates")
    words.add_argument("--validation-batches", default=2, type=count)
    words.add_argument("--save-minutes", default=5.0, type=float, help="between checkpoints, by the clock")

    words = commands.add_parser("sample", help="paint a box")
    words.add_argument("--model", required=True, type=Path, help="folder of a training")
    words.add_argument("--condition", required=True, type=Path)
    words.add_argument("--steps", default=2000, type=count)
    words.add_argument("--seed", default=1, type=int)
    words.add_argument("--weights", default="last", choices=["last", "averaged"], help="last: as the paper's code")
    words.add_argument("--threads", default=1, type=count)
    words.add_argument("-o", "--output", required=True, type=Path, help="NAME.npy; NAME.npy.work until then")

    a = parser.parse_args()
    if a.command == "sample":
        return sample(a)
    a.norm_groups = a.norm_groups or a.base_channels // 2 or 1
    if a.window % 4:
        sys.exit(f"--window {a.window}: must be a multiple of 4, to be halved twice")
    if a.base_channels % a.norm_groups or 4 * a.base_channels % SHAPE["head_channels"]:
        sys.exit(f"--base-channels {a.base_channels}: must be a multiple of 8 and of --norm-groups {a.norm_groups}")
    train(a)


if __name__ == "__main__":
    main()
