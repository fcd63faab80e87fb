#!/usr/bin/env bash
# A Slurm of one node with two CPUs on this machine, for trying batch files: munged, slurmctld and slurmd on loopback,
# with everything they read and write in one folder. An installed Slurm is neither used nor disturbed.
#
#   scripts/slurm/cluster.sh start [FOLDER [KEY=VALUE...]]     KEY=VALUE: further lines of slurm.conf, as KillWait=60
#   scripts/slurm/cluster.sh status [FOLDER]                   exit code 1: it does not run
#   scripts/slurm/cluster.sh stop [FOLDER]                     ends all jobs first
#
# FOLDER is target/slurm by default. `start` prints the line that makes sbatch and the others find this cluster, so
# that eval "$(scripts/slurm/cluster.sh start)" does. A cluster that runs is left as it is; one that was stopped starts
# anew, without its old jobs. Two free ports are chosen; FINESCALE_SLURM_PORT=N in the environment takes N for slurmctld
# and N + 1 for slurmd. Without root it serves the user who starts it. Exit code 3: Slurm is missing.
set -euo pipefail
export PATH="$PATH:/usr/sbin:/sbin" LC_ALL=C
umask 022

usage() {
    sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0" >&2
    exit 2
}
[ $# -ge 1 ] || usage
action=$1
shift
root=$(cd "$(dirname "$0")/../.." && pwd)
folder=$root/target/slurm
named=no
if [ $# -ge 1 ]; then
    named=yes
    folder=$(realpath -m -- "$1")
    shift
fi
mark="# Written by scripts/slurm/cluster.sh."
# What is stopped or asked for without a name is the cluster that this shell uses, if it is one of these.
if [ "$named" = no ] && [ "$action" != start ] && head -1 "${SLURM_CONF:-/dev/null}" 2> /dev/null | grep -qF "$mark"; then
    folder=$(dirname "$SLURM_CONF")
fi
conf=$folder/slurm.conf
export SLURM_CONF=$conf
# As on clusters, the name of the machine: mpirun would take another name for another machine.
node=$(uname -n)
node=${node%%.*}
daemons=(munged slurmctld slurmd)

fail() {
    echo "$0: $*" >&2
    exit 1
}

# The process of a daemon of this folder, if it lives; numbers are used again, so its command must name the folder.
pid_of() {
    local pid
    pid=$(cat "$folder/$1.pid" 2> /dev/null) && [ -n "$pid" ] &&
        tr '\0' '\n' 2> /dev/null < "/proc/$pid/cmdline" | grep -qF -- "$folder/" && echo "$pid"
}

# slurmstepd, one for each step that runs, renames itself; it has the folder's log open.
stepds() {
    local process
    for process in /proc/[0-9]*; do
        [[ $(readlink "$process/exe" 2> /dev/null) == */slurmstepd* ]] || continue
        ! find "$process/fd" -lname "$folder/*" 2> /dev/null | grep -q . || echo "${process#/proc/}"
    done
}

lock() {
    exec 9< "$folder"
    flock --wait 120 9 || fail "$folder: something else starts or stops this cluster"
}

node_state() {
    timeout 5 sinfo --noheader --nodes "$node" --format %T 2> /dev/null
}

# wait_for SECONDS COMMAND...
wait_for() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.2
    done
}

is_free() {
    ! (exec 3<> "/dev/tcp/127.0.0.1/$1") 2> /dev/null
}

# Two ports below those that the kernel hands out.
choose_port() {
    local port _
    if [ -n "${FINESCALE_SLURM_PORT:-}" ]; then
        echo "$FINESCALE_SLURM_PORT"
        return
    fi
    for _ in {1..50}; do
        port=$((20000 + RANDOM % 5000 * 2))
        is_free "$port" && is_free $((port + 1)) && echo "$port" && return
    done
    return 1
}

write_configuration() {
    local port=$1 memory user listen=""
    shift
    user=$(id -un 2> /dev/null) || fail "user $(id -u) has no name here, without which Slurm starts no job"
    # Slurm can be told to listen only on the address that the machine's name has; elsewhere it listens on all.
    [ "$(getent ahostsv4 "$(uname -n)" | sed -n '1s/ .*//p')" != 127.0.0.1 ] ||
        listen=CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
    memory=$(slurmd -C | sed -n 's/.* RealMemory=\([0-9]*\).*/\1/p')
    cat > "$conf" << END
$mark
ClusterName=finescale
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort=$port
SlurmdPort=$((port + 1))
$listen
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
CredType=cred/munge
# A requeued job waits for as long as a credential lives, 120 s unless said.
AuthInfo=socket=$folder/munge.socket,cred_expire=5

StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
MailProg=/bin/true

ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
# Two cards in name only: jobs get their numbers, in CUDA_VISIBLE_DEVICES.
GresTypes=gpu
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=5,bf_interval=5
ReturnToService=2
# Two CPUs, whatever the machine has.
SlurmdParameters=config_overrides
NodeName=$node NodeHostname=localhost NodeAddr=127.0.0.1 CPUs=2 RealMemory=$memory Gres=gpu:2
PartitionName=test Nodes=$node Default=YES MaxTime=INFINITE State=UP
END
    printf 'Name=gpu File=%s\n' /dev/null /dev/zero > "$folder/gres.conf"
    local line
    for line in "$@"; do
        sed -i "/^${line%%=*}=/Id" "$conf"
        echo "$line" >> "$conf"
    done
}

tails() {
    local log
    for log in "$folder"/*.log; do
        [ -s "$log" ] || continue
        echo "== the end of $log" >&2
        tail -n 15 "$log" >&2
    done
}

# launch DAEMON ARGUMENT...: without what the caller's environment may say to Slurm, and without its lock and pipes.
launch() {
    env -i --default-signal PATH="$PATH" HOME="${HOME:-/}" "$@" < /dev/null >> "$folder/start.log" 2>&1 9>&- && return 0
    tails
    fail "$1 did not start"
}

is_ready() {
    case $(node_state) in idle | mixed | allocated | completing) ;; *) return 1 ;; esac
}

is_decided() {
    is_ready || grep -qs "fatal:" "$folder"/slurm{ctld,d}.log
}

start() {
    command -v munged slurmctld slurmd srun sbatch > /dev/null || {
        mkdir -p "$root/target"
        source "$root/scripts/installing.sh"
        install_by_apt "To start a Slurm" munge slurmctld slurmd slurm-client || {
            echo "Slurm is missing: as root, apt-get install munge slurmctld slurmd slurm-client" >&2
            exit 3
        }
    }
    case $folder in *[!A-Za-z0-9/._+-]*) fail "$folder: letters, digits and ._+- only; Slurm reads it" ;; esac
    # A socket's path has at most 107 bytes, and slurmstepd's is FOLDER/spool/stepd.slurm.pmix.JOB.STEP.
    [ ${#folder} -le 64 ] || fail "$folder: longer than 64 characters, which is too long for the sockets in it"
    local line
    for line in "$@"; do
        [[ $line =~ ^[A-Za-z]+=. ]] || fail "$line: a line of slurm.conf is KEY=VALUE"
    done
    mkdir -p "$folder"
    lock
    if [ -e "$conf" ]; then
        grep -qxF "$mark" "$conf" || fail "$conf is not ours"
    elif [ -n "$(ls -A "$folder")" ]; then
        fail "$folder holds other files; it must be new, empty, or a cluster's"
    fi
    chmod go-w "$folder"

    local daemon runs=0
    for daemon in "${daemons[@]}"; do
        ! pid_of "$daemon" > /dev/null || runs=$((runs + 1))
    done
    if [ "$runs" = 0 ]; then
        rm -rf "$folder"/{state,spool,munge.*,*.log,*.pid}
        mkdir "$folder/state" "$folder/spool"
        (umask 077 && head -c 128 /dev/urandom > "$folder/munge.key")
        local port
        port=$(choose_port) || fail "no two free ports between 20000 and 30000"
        write_configuration "$port" "$@"
    elif [ "$runs" = 3 ]; then
        echo "$folder: runs already${1:+; $* is not looked at}" >&2
    fi
    # Forced, munged takes folders that others cannot enter (mktemp -d) or of which a group may write the parent.
    pid_of munged > /dev/null || launch munged --force --num-threads=2 --key-file="$folder/munge.key" \
        --socket="$folder/munge.socket" --pid-file="$folder/munged.pid" --log-file="$folder/munged.log" \
        --seed-file="$folder/munge.seed"
    pid_of slurmctld > /dev/null || launch slurmctld -f "$conf"
    pid_of slurmd > /dev/null || launch slurmd -f "$conf"
    wait_for 40 is_decided || true
    if ! is_ready; then
        tails
        fail "the node is not idle (state: $(node_state || echo none)); $0 stop $folder ends what runs"
    fi
    echo "export SLURM_CONF=$conf"
}

is_gone() {
    ! kill -0 "$1" 2> /dev/null || [ "$(cut -d' ' -f3 "/proc/$1/stat" 2> /dev/null)" = Z ]
}

# kill_tree PROCESS: it and what it started, unless that has left the family.
kill_tree() {
    local child
    for child in $(ps -o pid= --ppid "$1"); do
        kill_tree "$child"
    done
    kill -KILL "$1" 2> /dev/null || true
}

no_stepds() {
    [ -z "$(stepds)" ]
}

stop() {
    [ -e "$conf" ] || { echo "$folder: no cluster here" >&2 && return; }
    lock
    local daemon pid jobs left=0
    # slurmd leaves jobs alone when it ends, so they go first.
    if pid_of slurmctld > /dev/null && jobs=$(timeout 10 squeue --noheader --format %A | sort -u) && [ -n "$jobs" ]; then
        # shellcheck disable=SC2086 # a list
        echo "ends jobs:" $jobs >&2
        # shellcheck disable=SC2086
        timeout 10 scancel --quiet $jobs || true
        # shellcheck disable=SC2086
        timeout 10 scancel --quiet --full --signal=KILL $jobs || true
    fi
    ! pid_of slurmctld > /dev/null || wait_for 20 no_stepds || true
    for daemon in slurmd slurmctld munged; do
        pid=$(pid_of "$daemon") || continue
        kill "$pid"
        wait_for 10 is_gone "$pid" && continue
        echo "$daemon ($pid) did not end by SIGTERM" >&2
        kill -KILL "$pid" || true
        wait_for 5 is_gone "$pid" && continue
        echo "$daemon ($pid) did not die" >&2
        left=1
    done
    for pid in $(stepds); do
        echo "slurmstepd ($pid) did not end with its job; killed with what it runs" >&2
        kill_tree "$pid"
        wait_for 5 is_gone "$pid" || { echo "slurmstepd ($pid) did not die" >&2 && left=1; }
    done
    return "$left"
}

status() {
    local daemon pid all=0
    for daemon in "${daemons[@]}"; do
        if pid=$(pid_of "$daemon"); then
            echo "$daemon: process $pid"
        else
            echo "$daemon: does not run"
            all=1
        fi
    done
    [ "$all" = 0 ] || return 1
    echo "$node: $(node_state || echo "no answer")"
    timeout 10 squeue
    echo "export SLURM_CONF=$conf"
}

case $action in
    start) start "$@" ;;
    stop | status) [ $# = 0 ] || usage; "$action" ;;
    *) usage ;;
esac
