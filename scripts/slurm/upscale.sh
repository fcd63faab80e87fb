#!/usr/bin/env bash
# Draws one sample on several nodes; a job that runs out of time keeps what is done and puts itself into the queue again.
#
#     MODEL=... CONDITION=... sbatch scripts/slurm/upscale.sh      # options given here override the lines below: sbatch --time=30 ...
#
#SBATCH --job-name=upscale
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=2
#SBATCH --cpus-per-task=16
#SBATCH --time=4:00:00
#SBATCH --signal=USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append
# What your centre may ask for, with one more # in front as it stands. Nodes of one kind, also after it was requeued: --constraint.
##SBATCH --account=... --partition=... --mem=16G --constraint=...
# module load ...                                 # the modules that finescale was built with

# What to edit, with the lines above. ${NAME:-default} can also be set when the job is submitted: MODEL=... sbatch ...
finescale=${FINESCALE:-finescale}                 # built with --features mpi
model=${MODEL:-model.safetensors}
condition=${CONDITION:-condition.hdf5}            # a grid; `finescale grid` makes one of a snapshot
output=${OUTPUT:-sample.hdf5}                     # on a file system that all nodes have
seed=${SEED:-1}
options=${OPTIONS:-}                              # further ones of upscale
mpi=${MPI:-pmix}                                  # `srun --mpi=list` says what there is; Open MPI: pmix, MPICH: pmi2
runs=${RUNS:-50}                                  # so often it puts itself into the queue, and no more

set -euo pipefail
# When the job ends, in seconds since 1970: asked once, and not by every rank.
export SLURM_JOB_END_TIME=${SLURM_JOB_END_TIME:-$(SLURM_TIME_FORMAT=%s squeue -h -j "$SLURM_JOB_ID" -o %e)}
# Also without the signal it stops in time. The last line says whether it did; progress is on stderr meanwhile.
code=0
said=$(srun --mpi="$mpi" --export=ALL --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" --kill-on-bad-exit=1 \
    "$finescale" upscale --model "$model" --condition "$condition" --output "$output" --seed "$seed" \
    --threads "${SLURM_CPUS_PER_TASK:-1}" --walltime slurm --resume --json $options) || code=$?
echo "$said"
if [[ $said == *'{"resume":'* && ${SLURM_RESTART_COUNT:-0} -lt $runs ]]; then scontrol requeue "$SLURM_JOB_ID"; fi
exit "$code"
