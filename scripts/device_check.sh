#!/usr/bin/env bash
# What a borrowed NVIDIA card is asked, in less than ten minutes and with nothing to download: is it right, how fast is it, does a
# network learn on it. The program is built before, on any machine with the same kind of processor and no newer C library:
#
#   cargo build --release --features finescale/cuda,finescale/static-hdf5
#   scripts/device_check.sh target/release/finescale FOLDER      # on the machine with the card; results go to FOLDER
#
# libnvrtc.so.13 must be found: a CUDA 13 toolkit has it, and PyTorch for CUDA 13.
set -uo pipefail
[ $# -eq 2 ] || { echo "usage: $0 PROGRAM FOLDER" >&2; exit 2; }
program=$(realpath "$1")
mkdir -p "$2"
out=$(realpath "$2")
cd "$(dirname "$0")/.."
# PyTorch brings the compiler for kernels.
compiler=$(python3 -c 'import glob, sys; print(next((f.rsplit("/", 1)[0] for p in sys.path for f in
    glob.glob(p + "/nvidia/*/lib/libnvrtc.so.13")), ""))' 2>/dev/null)
export LD_LIBRARY_PATH=${compiler:+$compiler:}${LD_LIBRARY_PATH-}

failed=0
# Each step has seconds of its own, so that one that hangs takes nothing from the others.
step() {
    name=$1 seconds=$2
    shift 2
    echo "== $name: $*"
    timeout "$seconds" "$@" 2>&1 | tee "$out/$name.txt"
    code=${PIPESTATUS[0]}
    [ "$code" = 0 ] || { echo "$name: exit code $code"; failed=$((failed + 1)); }
}

nvidia-smi >"$out/nvidia_smi.txt" 2>&1
step doctor 60 "$program" doctor --device cuda:0
for precision in tf32 bf16; do
    step "doctor_$precision" 60 "$program" doctor --device cuda:0 --precision "$precision" --untimed
done
for precision in f32 tf32 bf16; do
    for config in demo tng300; do
        for mode in forward train; do
            step "bench_${config}_${mode}_$precision" 45 "$program" bench --config "configs/$config.json" --mode "$mode" --batch 8 \
                --repeat 3 --device cuda:0 --precision "$precision"
        done
    done
done
step pytorch 120 python3 scripts/compare_pytorch.py --on-card --config configs/tng300.json --batch 8

# A box, a short training here and there, and a volume of 128^3 cells.
work=$out/work
mkdir -p "$work"
step mock 60 "$program" mock --box-size 50 --cells 64 --particles-low 32 --particles-high 64 --boxes 2 --seed 1 -o "$work/boxes"
python3 - "$work" <<'END'
import json, sys
config = json.load(open("configs/demo.json"))
config["data"]["training"] = [sys.argv[1] + "/boxes/box_0001"]
config["data"]["validation"] = [sys.argv[1] + "/boxes/box_0002"]
config["training"].update(steps=200, validate_every_steps=100, warm_up_steps=20)
config["training"].pop("spectrum", None)
json.dump(config, open(sys.argv[1] + "/config.json", "w"))
END
step train_card 90 "$program" train "$work/config.json" --out "$work/on_card" --device cuda:0
# As far as the processor comes in the time.
step train_cpu 120 "$program" train "$work/config.json" --out "$work/on_cpu"
step losses 10 python3 - "$work" <<'END'
import json, sys
def losses(run):
    try:
        lines = [json.loads(line) for line in open(f"{sys.argv[1]}/{run}/metrics.jsonl")]
    except FileNotFoundError:
        return {}
    return {line["step"]: line["loss"] for line in lines if "loss" in line}
card, cpu = losses("on_card"), losses("on_cpu")
both = sorted(set(card) & set(cpu))
for step in both[:: max(1, len(both) // 12)]:
    print(f"step {step}: card {card[step]:.6f}, CPU {cpu[step]:.6f}, apart by {card[step] / cpu[step] - 1:+.1e}")
print(f"{len(both)} steps of both")
END
step upscale 60 "$program" upscale --model data/demo/model.safetensors --condition data/demo/condition.hdf5 -o "$work/sample.hdf5" \
    --device cuda:0
rm -rf "$work/boxes"
echo "$failed steps failed; what they said is in $out"
[ "$failed" = 0 ]
