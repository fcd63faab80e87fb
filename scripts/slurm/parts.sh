#!/usr/bin/env bash
# Draws one sample in parts, each in a job of its own on one node, without MPI; `finescale join` puts them together. A part that runs out of
# time keeps what is done and puts itself into the queue again.
#
#     job=$(MODEL=... CONDITION=... sbatch --parsable --array=1-8 scripts/slurm/parts.sh)
#     sbatch --dependency=afterok:$job --wrap 'finescale join sample_part_*.hdf5 -o sample.hdf5'
#
#SBATCH --job-name=parts
#SBATCH --array=1-8
#SBATCH --cpus-per-task=16
#SBATCH --time=4:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%A_%a.out
# What your centre may ask for, with one more # in front as it stands. Nodes of one kind, also after it was requeued: --constraint.
##SBATCH --account=... --partition=... --mem=16G --constraint=...
# module load ...                                 # the modules that finescale was built with

# What to edit, with the lines above. ${NAME:-default} can also be set when the job is submitted: MODEL=... sbatch ...
finescale=${FINESCALE:-finescale}
model=${MODEL:-model.safetensors}
condition=${CONDITION:-condition.hdf5}            # a grid; `finescale grid` makes one of a snapshot
output=${OUTPUT:-sample}                          # of the parts: sample_part_1.hdf5, ...
seed=${SEED:-1}
options=${OPTIONS:-}                              # further ones of upscale, such as --halo
runs=${RUNS:-50}                                  # so often a part puts itself into the queue, and no more

set -euo pipefail
# It stops in time. The last line says whether it did; progress is on stderr meanwhile.
code=0
said=$("$finescale" upscale --model "$model" --condition "$condition" --seed "$seed" \
    --part "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" --output "${output}_part_$SLURM_ARRAY_TASK_ID.hdf5" \
    --threads "${SLURM_CPUS_PER_TASK:-1}" --walltime slurm --resume --json $options) || code=$?
echo "$said"
if [[ $said == *'{"resume":'* && ${SLURM_RESTART_COUNT:-0} -lt $runs ]]; then scontrol requeue "$SLURM_JOB_ID"; fi
exit "$code"
