#!/usr/bin/env bash
# Proves that the cluster of cluster.sh does what batch files need, and measures what differs between Slurms: which
# signal comes when, what a rank finds in its environment, how MPI starts. Two clusters run for it, about two minutes.
#
#   scripts/slurm/selftest.sh [FOLDER]        FOLDER: target/slurm_selftest by default; jobs/ in it has all output
#
# Exit code 1: something is not as README.md says. Exit code 3: Slurm is missing. Without mpicc the MPI part is left out.
# shellcheck disable=SC2016 # what jobs expand
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$(realpath -m -- "${1:-$here/../../target/slurm_selftest}")
cluster() { "$here/cluster.sh" "$@"; }
kill_wait=5
export LC_ALL=C OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
witness="python3 $here/witness.py"

bad=0
# says WHAT COMMAND...
says() {
    local what=$1
    shift
    if "$@"; then
        echo "ok      $what"
    else
        echo "NOT SO  $what"
        bad=$((bad + 1))
    fi
}
fact() { echo "fact    $*"; }
# within FROM VALUE TO
within() { python3 -c 'import sys; low, x, high = map(float, sys.argv[1:]); sys.exit(not low <= x <= high)' "$@"; }
minus() { python3 -c 'import sys; print("%.1f" % (float(sys.argv[1]) - float(sys.argv[2])))' "$@"; }
now() { date +%s.%N; }
lines() { grep -c "$@" || true; }
# until_true SECONDS COMMAND...
until_true() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do [ "$SECONDS" -lt "$end" ] || return 1; sleep 0.1; done
}
# When NAME of a witness's file saw WHAT first.
when() { awk -v name="$2" -v what="$3" '$1 == name && $2 == what { print $3; exit }' "$1"; }
saw() { [ -n "$(when "$1" "$2" "$3" 2> /dev/null)" ]; }
state() { scontrol show job "$1" | sed -n 's/.*JobState=\([A-Z_]*\).*/\1/p'; }
is_over() { case $(state "$1") in PENDING | RUNNING | COMPLETING) return 1 ;; esac; }
# A cluster can be chosen for one command.
on_second() { SLURM_CONF=$folder/2/slurm.conf "$@"; }

if [ -e "$folder" ]; then
    for number in 1 2; do [ ! -d "$folder/$number" ] || cluster stop "$folder/$number"; done
    rm -rf "$folder/1" "$folder/2" "$folder/jobs"
fi
mkdir -p "$folder/jobs"
trap 'cluster stop "$folder/1" || true; cluster stop "$folder/2" || true' EXIT
for number in 1 2; do cluster start "$folder/$number" KillWait=$kill_wait > "$folder/jobs/start$number" || exit $?; done
cd "$folder/jobs"
eval "$(cat start1)"
fact "$(srun --version), $(munged --version 2> /dev/null || /usr/sbin/munged --version), bash $BASH_VERSION"
says "start on a running cluster leaves it alone" [ "$(cluster start "$folder/1" 2> /dev/null)" = "$(cat start1)" ]
says "two clusters run at once" [ "$(cluster status "$folder/1" | lines process)$(cluster status "$folder/2" | lines process)" = 33 ]

# Time limits, on the second cluster, where they take more than a minute.
cat > limit.sbatch << 'END'
#!/bin/bash
trap 'echo "shell USR1 $(date +%s.%N)" >> $file' USR1
trap 'echo "shell TERM $(date +%s.%N)" >> $file' TERM
echo "start $(SLURM_TIME_FORMAT=%s squeue -h -j $SLURM_JOB_ID -o '%S %e')" >> $file
$witness child $file & child=$!
srun $witness rank $file & step=$!
while kill -0 $child 2> /dev/null; do wait $child; done
wait $step
END
export witness
batch=$(file=batch.seen on_second sbatch --parsable -n 1 --time=0:01 --signal=B:USR1@10 -o batch.out limit.sbatch)
step=$(file=step.seen on_second sbatch --parsable -n 1 --time=0:01 --signal=USR1@10 -o step.out limit.sbatch)

echo "== jobs and steps"
says "srun -n 2 runs two tasks" [ "$(srun -n 2 hostname | lines .)" = 2 ]
code=0
sbatch --wait -o hello.out --wrap 'echo hello; exit 7' > /dev/null || code=$?
says "sbatch --wait waits, writes the output file and has the job's exit code" [ "$(cat hello.out) $code" = "hello 7" ]
sbatch --wait -n 1 --array=0-3 -o array_%A_%a.out \
    --wrap 'echo $SLURM_ARRAY_TASK_ID of $SLURM_ARRAY_TASK_COUNT, $SLURM_ARRAY_TASK_MIN to $SLURM_ARRAY_TASK_MAX' > /dev/null
says "an array's tasks know their number and how many they are" \
    [ "$(cat array_*.out)" = "$(for task in 0 1 2 3; do echo "$task of 4, 0 to 3"; done)" ]
first=$(sbatch --parsable -n 1 -o first.out --wrap 'sleep 1; date +%s.%N; exit 1')
never=$(sbatch --parsable -n 1 -o never.out --dependency=afterok:"$first" --wrap true)
sbatch --wait -n 1 -o then.out --dependency=afterany:"$first" --wrap 'date +%s.%N' > /dev/null
says "afterany starts after a job that failed" within 0 "$(minus "$(cat then.out)" "$(cat first.out)")" 20
fact "afterany: $(minus "$(cat then.out)" "$(cat first.out)") s later; afterok: $(squeue -h -j "$never" -o '%T, %r'), for ever"
scancel "$never"

echo "== environment of the ranks of srun -n 2, in a batch job with --ntasks=2 --cpus-per-task=1 --time=5"
sbatch --wait --ntasks=2 --cpus-per-task=1 --time=5 -o environment.out --wrap 'srun --output=rank%t.env env
    SLURM_TIME_FORMAT=%s squeue -h -j $SLURM_JOB_ID -o "%e %L"; date +%s' > /dev/null
says "SLURM_PROCID and SLURM_LOCALID are 0 and 1" \
    [ "$(grep -hE '^SLURM_(PROCID|LOCALID)=' rank0.env rank1.env | sort | cut -d= -f2 | tr -d '\n')" = 0101 ]
for name in PROCID NTASKS NPROCS LOCALID NODEID NNODES CPUS_PER_TASK CPUS_ON_NODE JOB_ID STEP_ID JOB_START_TIME \
    JOB_END_TIME RESTART_COUNT ARRAY_TASK_ID MPI_TYPE; do
    fact "SLURM_$name: $(sed -n "s/^SLURM_$name=//p" rank1.env | grep . || echo "not there")"
done
read -r end left < environment.out
says "SLURM_TIME_FORMAT=%s squeue -o %e is the end of the time limit, in seconds since the epoch ($left are left)" \
    within 290 "$(minus "$end" "$(tail -n 1 environment.out)")" 301
fact "without a time limit: $(srun -n 1 bash -c 'squeue -h -j $SLURM_JOB_ID -o "%%e: %e, %%L: %L"')"
code=0
sbatch --wait -n 1 --export=NONE -o none.out --wrap 'srun env' > /dev/null || code=$?
says "after sbatch --export=NONE, srun starts its tasks without PATH" [ "$(lines '^PATH=' < none.out)" = 0 ]
fact "  there srun env says ($code): $(head -n 1 none.out)"
if [ "$(id -u)" = 0 ]; then
    sbatch --wait -n 1 --export=NONE -o none.out --wrap 'srun --export=ALL env' > /dev/null || true
    says "srun --export=ALL cures that" [ "$(lines '^PATH=' < none.out)" = 1 ]
fi
says "with --gpus-per-task=1 each rank has one card of its own" \
    [ "$(srun -n 2 --gpus-per-task=1 bash -c 'echo $SLURM_PROCID:$CUDA_VISIBLE_DEVICES' | sort | paste -sd' ')" = "0:0 1:1" ]
says "with --gres=gpu:2 each rank has both" \
    [ "$(srun -n 2 --gres=gpu:2 bash -c 'echo $CUDA_VISIBLE_DEVICES' | paste -sd' ')" = "0,1 0,1" ]

echo "== signals by scancel"
job=$(file=signals.seen sbatch --parsable -n 1 --time=5 -o signals.out limit.sbatch)
until_true 20 saw signals.seen rank0 starts && until_true 20 saw signals.seen child starts
who() { awk -v what="$1" '$2 == what { print $1 }' signals.seen | sort | paste -sd' '; }
scancel --signal=USR1 "$job"
sleep 1.5
says "--signal=USR1: the steps only" [ "$(who USR1)" = rank0 ]
sed -i /USR1/d signals.seen
scancel --signal=USR1 --batch "$job"
sleep 1.5
says "--signal=USR1 --batch: the batch shell only, no child of it" [ "$(who USR1)" = shell ]
sed -i /USR1/d signals.seen
scancel --signal=USR1 --full "$job"
sleep 1.5
says "--signal=USR1 --full: the shell, its children and the steps" [ "$(who USR1)" = "child rank0 shell" ]
scancel --signal=TERM "$job"
sleep 1.5
says "--signal=TERM: the steps only, and the job goes on" [ "$(who TERM) $(state "$job")" = "rank0 RUNNING" ]
sed -i /TERM/d signals.seen
before=$(now)
scancel "$job"
until_true 30 is_over "$job"
is_quiet() { [ -z "$(squeue -h)" ]; }
until_true 30 is_quiet
fact "scancel without a signal: TERM to $(who TERM), CONT to $(who CONT); all over after $(minus "$(now)" "$before") s" \
    "(KillWait=$kill_wait), $(state "$job")"

echo "== requeue"
cat > requeue.sbatch << 'END'
#!/bin/bash
trap 'echo TERM; exit 5' TERM
echo "count '${SLURM_RESTART_COUNT-unset}' $(date +%s)"
if [ -z "${SLURM_RESTART_COUNT-}" ]; then
    scontrol requeue "$SLURM_JOB_ID"
    sleep 20 & wait
fi
END
code=0
sbatch --wait -n 1 --requeue --open-mode=append -o requeue.out requeue.sbatch > /dev/null || code=$?
says "scontrol requeue ends the job by TERM and starts it again; sbatch --wait waits for the second run" \
    [ "$(sed -nE "s/^count '(.*)' .*/\1/p;/^TERM$/p" requeue.out | paste -sd' ') $code" = "unset TERM 1 0" ]
fact "the second run began $(sed -n "s/^count.* //p" requeue.out | paste -sd' ' | awk '{ print $2 - $1 }') s after the first" \
    "(cred_expire=5)"
sbatch --wait -n 1 --requeue -o requeue_truncated.out requeue.sbatch > /dev/null || true
fact "without --open-mode=append the first run's output is $(grep -q unset requeue_truncated.out && echo kept || echo lost)"

echo "== a rank that dies"
dies() { # NAME SRUN_OPTION...
    local name=$1 before code=0
    shift
    rm -f "$name"
    before=$(now)
    srun -n 2 "$@" bash -c "if [ \$SLURM_PROCID = 1 ]; then sleep 1; date +%s.%N > $name.died; exit 3; fi
        exec $witness rank $name 12" > "$name.out" 2>&1 || code=$?
    after=$(minus "$(now)" "$(cat "$name.died")")
    term=$(when "$name" rank0 TERM)
    [ -z "$term" ] || term="TERM $(minus "$term" "$(cat "$name.died")") s later"
    fact "srun ${*:-without it}: the other gets ${term:-no signal}; srun ends $after s later with $code and says:"
    sed 's/^/        | /' "$name.out"
}
dies kill --kill-on-bad-exit=1
says "--kill-on-bad-exit=1: TERM within a second, KILL after KillWait" \
    within $((kill_wait - 1)) "$after" $((kill_wait + 5))
dies live
says "without it the other lives on" within 9 "$after" 14

echo "== MPI"
if command -v mpicc > /dev/null && mpicc -o world "$here/world.c"; then
    fact "$(mpirun --version 2>&1 | head -n 1)"
    for type in none pmi2 pmix; do
        code=0
        timeout 60 srun -n 2 --mpi=$type ./world > "mpi_$type.out" 2>&1 || code=$?
        fact "srun -n 2 --mpi=$type: $({ grep '^rank' "mpi_$type.out" || grep -m 1 'OMPI was not\|rror' "mpi_$type.out"; } |
            sort | paste -sd';') (exit code $code)"
    done
    two="rank 0 of 2, sum 2;rank 1 of 2, sum 2"
    if mpirun --version 2>&1 | grep -q 'Open MPI'; then type=pmix; else type=pmi2; fi
    says "srun --mpi=$type makes one world of two" [ "$(grep '^rank' mpi_$type.out | sort | paste -sd';')" = "$two" ]
    sbatch --wait -n 2 -o mpirun.out --wrap 'mpirun ./world' > /dev/null || true
    says "mpirun in a batch job makes one world of two" [ "$(sort mpirun.out | paste -sd';')" = "$two" ]
    sbatch --wait -n 1 -c 2 -o bound.out --wrap 'mpirun nproc; mpirun --bind-to none nproc' > /dev/null || true
    fact "nproc in a job with -n 1 -c 2: mpirun, $(head -n 1 bound.out); mpirun --bind-to none, $(tail -n 1 bound.out)"
    sbatch --wait -n 2 -o alone.out --wrap './world' > /dev/null || true
    fact "without either, in a batch job with -n 2: $(paste -sd';' alone.out)"
    code=0 before=$(now)
    timeout 60 srun -n 2 --mpi=$type ./world 3 > mpi_dies.out 2>&1 || code=$?
    fact "a rank that exits with 3 under --mpi=$type: over after $(minus "$(now)" "$before") s with $code; srun says:"
    grep '^s' mpi_dies.out | sed 's/^/        | /' || true
else
    echo "not checked: MPI (no mpicc here; apt-get install libopenmpi-dev openmpi-bin)"
fi

echo "== time limits: --time=0:01 --signal=...USR1@10, KillWait=$kill_wait"
until_true 120 on_second is_over "$batch" && until_true 120 on_second is_over "$step"
second_is_quiet() { [ -z "$(on_second squeue -h)" ]; }
until_true 30 second_is_quiet || true
for name in batch step; do
    read -r _ began ends < "$name.seen"
    usr1=$(awk '$2 == "USR1" { print $3; exit }' "$name.seen") term=$(awk '$2 == "TERM" { print $3; exit }' "$name.seen")
    fact "$name: limit $((ends - began)) s; USR1 to $(awk '$2 == "USR1" { print $1 }' "$name.seen" | sort -u | paste -sd' ')" \
        "$(minus "$ends" "$usr1") s before it; TERM to $(awk '$2 == "TERM" { print $1 }' "$name.seen" | sort -u | paste -sd' ')" \
        "$(minus "$term" "$ends") s after it; CONT to $(awk '$2 == "CONT" { print $1 }' "$name.seen" | sort -u | paste -sd' ')"
    says "$name: USR1 comes 10 to 40 s early" within 9 "$(minus "$ends" "$usr1")" 41
    says "$name: TERM comes up to 30 s late, to all" within 0 "$(minus "$term" "$ends")" 31
    sed 's/^/        | /' "$name.out"
done
says "B:USR1 reaches the batch shell only" [ "$(awk '$2 == "USR1" { print $1 }' batch.seen | sort -u)" = shell ]
says "USR1 without B: reaches the ranks of steps only" [ "$(awk '$2 == "USR1" { print $1 }' step.seen | sort -u)" = rank0 ]
fact "$(on_second scontrol show job "$batch" | grep -oE '(JobState|ExitCode|RunTime)=[^ ]*' | paste -sd' ')"

echo "== stop"
on_second sbatch -n 2 --time=5 -o /dev/null --wrap 'trap "" TERM; srun bash -c "trap \"\" TERM; sleep 100"; sleep 100' > /dev/null
sleep 2
before=$(now)
says "stop ends a cluster whose job ignores TERM" cluster stop "$folder/2"
says "stop ends the other" cluster stop "$folder/1"
fact "both have stopped after $(minus "$(now)" "$before") s"
says "neither runs" [ "$(cluster status "$folder/1"; cluster status "$folder/2")" = "$(for _ in 1 2; do
    printf '%s: does not run\n' munged slurmctld slurmd; done)" ]
# shellcheck disable=SC2009 # by folder
says "no process of theirs is left" [ -z "$(ps -eo pid,args | grep -F "$folder/" | grep -vE 'grep|selftest.sh')" ]
[ "$bad" = 0 ] || { echo "$bad not as they should be"; exit 1; }
echo "all is well"
