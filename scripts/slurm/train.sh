#!/usr/bin/env bash
# Trains a model on several nodes; a job that runs out of time keeps what is done and puts itself into the queue again.
#
#     CONFIG=my.json sbatch scripts/slurm/train.sh        # options given here override the lines below: sbatch --time=30 ...
#
#SBATCH --job-name=train
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=2
#SBATCH --cpus-per-task=16
#SBATCH --time=4:00:00
#SBATCH --signal=USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append
# What your centre may ask for, with one more # in front as it stands. Nodes of one kind, also after it was requeued: --constraint.
##SBATCH --account=... --partition=... --mem=32G --constraint=...
# module load ...                                 # the modules that finescale was built with

# What to edit, with the lines above. ${NAME:-default} can also be set when the job is submitted: CONFIG=... sbatch ...
finescale=${FINESCALE:-finescale}                 # built with --features mpi
config=${CONFIG:-config.json}                     # its training.accumulate: the number of tasks, here 4, or a multiple of it
run=${RUN:-runs/model}                            # on a file system that all nodes have
options=${OPTIONS:-}                              # further ones of train, such as --from model.safetensors
mpi=${MPI:-pmix}                                  # `srun --mpi=list` says what there is; Open MPI: pmix, MPICH: pmi2
runs=${RUNS:-50}                                  # so often it puts itself into the queue, and no more

set -euo pipefail
# When the job ends, in seconds since 1970: asked once, and not by every rank.
export SLURM_JOB_END_TIME=${SLURM_JOB_END_TIME:-$(SLURM_TIME_FORMAT=%s squeue -h -j "$SLURM_JOB_ID" -o %e)}
# Also without the signal it stops in time. The last line says whether it did; progress is on stderr meanwhile.
code=0
said=$(srun --mpi="$mpi" --export=ALL --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" --kill-on-bad-exit=1 \
    "$finescale" train "$config" --out "$run" --threads "${SLURM_CPUS_PER_TASK:-1}" --walltime slurm --resume --json $options) || code=$?
echo "$said"
if [[ $said == *'{"resume":'* && ${SLURM_RESTART_COUNT:-0} -lt $runs ]]; then scontrol requeue "$SLURM_JOB_ID"; fi
exit "$code"
