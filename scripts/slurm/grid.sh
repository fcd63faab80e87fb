#!/usr/bin/env bash
# Grids a snapshot on several nodes, each with a slab of the grid in its memory. Nothing is kept of a job that is stopped: give it more
# time than it needs. A grid that fits into one node's memory needs none of this: one process goes on where it was killed.
#
#     sbatch scripts/slurm/grid.sh        # options given here override the lines below: sbatch --nodes=2 --time=30 ...
#
#SBATCH --job-name=grid
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=2
#SBATCH --cpus-per-task=16
#SBATCH --time=2:00:00
# What your centre may ask for, with one more # in front as it stands:
##SBATCH --account=... --partition=... --mem=32G
# module load ...                                 # the modules that finescale was built with

# What to edit, with the lines above. ${NAME:-default} can also be set when the job is submitted: SNAPSHOT=... sbatch ...
finescale=${FINESCALE:-finescale}                 # built with --features mpi
snapshot=${SNAPSHOT:-output/snapdir_099}          # TNG300-1 at z = 0, say
particles=${PARTICLES:-gas}                       # of the condition: dm
cells=${CELLS:-264}                               # a node needs 12 bytes a voxel over the nodes: of 2048^3 on four, 26 GB
output=${OUTPUT:-gas.hdf5}                        # on a file system that all nodes have
options=${OPTIONS:-}                              # further ones of grid, such as --weight count
mpi=${MPI:-pmix}                                  # `srun --mpi=list` says what there is; Open MPI: pmix, MPICH: pmi2

set -euo pipefail
srun --mpi="$mpi" --export=ALL --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" --kill-on-bad-exit=1 \
    "$finescale" grid "$snapshot" --particles "$particles" --cells "$cells" --output "$output" \
    --threads "${SLURM_CPUS_PER_TASK:-1}" $options
