#!/usr/bin/env bash
# Trains a model on several nodes; a job that runs out of time keeps what is done and puts itself into the queue again.
#
#     sbatch scripts/slurm/train.sh
#
#SBATCH --job-name=train
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=2
#SBATCH --cpus-per-task=16
#SBATCH --time=4:00:00
#SBATCH --signal=USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append

# What to edit, with the lines above. ${NAME:-default} can also be set when the job is submitted: CONFIG=... sbatch ...
finescale=${FINESCALE:-finescale}                 # built with --features mpi
config=${CONFIG:-config.json}                     # its training.accumulate: a multiple of the tasks, here of 8
run=${RUN:-runs/model}                            # on a file system that all nodes have
options=${OPTIONS:-}                              # further ones of train, such as --from model.safetensors
mpi=${MPI:-pmix}                                  # `srun --mpi=list` says what there is; Open MPI: pmix, MPICH: pmi2

set -euo pipefail
# Also without the signal, and with the time that Slurm gave, it stops in time. The last line says whether it did.
said=$(srun --mpi="$mpi" --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" --kill-on-bad-exit=1 \
    "$finescale" train "$config" --out "$run" --threads "${SLURM_CPUS_PER_TASK:-1}" --walltime slurm --resume --json $options)
echo "$said"
case $said in *'{"resume":'*) scontrol requeue "$SLURM_JOB_ID" ;; esac
