#!/usr/bin/env bash
# Grids a snapshot on several nodes, each with a slab of the grid in its memory.
#
#     sbatch scripts/slurm/grid.sh
#
#SBATCH --job-name=grid
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=2
#SBATCH --cpus-per-task=16
#SBATCH --time=2:00:00

# What to edit, with the lines above. ${NAME:-default} can also be set when the job is submitted: SNAPSHOT=... sbatch ...
finescale=${FINESCALE:-finescale}                 # built with --features mpi
snapshot=${SNAPSHOT:-output/snapdir_099}          # TNG300-1 at z = 0, say
particles=${PARTICLES:-gas}
cells=${CELLS:-2048}                              # 2048: 103 GB in f64 and f32, over all tasks
output=${OUTPUT:-gas.hdf5}                        # on a file system that all nodes have
options=${OPTIONS:-}                              # further ones of grid, such as --spread
mpi=${MPI:-pmix}                                  # `srun --mpi=list` says what there is; Open MPI: pmix, MPICH: pmi2

set -euo pipefail
srun --mpi="$mpi" --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" --kill-on-bad-exit=1 \
    "$finescale" grid "$snapshot" --particles "$particles" --cells "$cells" --output "$output" \
    --threads "${SLURM_CPUS_PER_TASK:-1}" $options
