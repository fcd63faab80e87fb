#!/usr/bin/env bash
# Draws one sample on several nodes; a job that runs out of time keeps what is done and puts itself into the queue again.
#
#     sbatch scripts/slurm/upscale.sh
#
#SBATCH --job-name=upscale
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=2
#SBATCH --cpus-per-task=16
#SBATCH --time=4:00:00
#SBATCH --signal=USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append

# What to edit, with the lines above. ${NAME:-default} can also be set when the job is submitted: MODEL=... sbatch ...
finescale=${FINESCALE:-finescale}                 # built with --features mpi
model=${MODEL:-model.safetensors}
condition=${CONDITION:-condition.hdf5}            # a grid; `finescale grid` makes one of a snapshot
output=${OUTPUT:-sample.hdf5}                     # on a file system that all nodes have
seed=${SEED:-1}
options=${OPTIONS:-}                               # further ones of upscale
mpi=${MPI:-pmix}                                  # `srun --mpi=list` says what there is; Open MPI: pmix, MPICH: pmi2

set -euo pipefail
# Also without the signal, and with the time that Slurm gave, it stops in time. The last line says whether it did.
said=$(srun --mpi="$mpi" --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" --kill-on-bad-exit=1 \
    "$finescale" upscale --model "$model" --condition "$condition" --output "$output" --seed "$seed" \
    --threads "${SLURM_CPUS_PER_TASK:-1}" --walltime slurm --resume --json $options)
echo "$said"
case $said in *'{"resume":'*) scontrol requeue "$SLURM_JOB_ID" ;; esac
