#!/usr/bin/env bash
# A throw-away Slurm cluster on one machine, for tests: no systemd, no cgroups,
# no accounting database, several "nodes" (one slurmd each) on one host.
#
#   slurm.sh up        install the Debian/Ubuntu packages if missing, start, wait, print sinfo
#   slurm.sh down      cancel all jobs, stop exactly the daemons recorded in the pid files
#   slurm.sh status    exit 0 if every daemon runs and every node is usable
#   slurm.sh env       print the `export` lines for a shell:  eval "$(slurm.sh env)"
#   slurm.sh run CMD   run CMD with that environment
#   slurm.sh logs      print the tail of every daemon log
#
# Everything lives below $SLURM_TEST_DIR.  Settings (environment variables):
#   SLURM_TEST_DIR      state directory                       /tmp/slurm-test
#   SLURM_TEST_NODES    number of nodes                       2
#   SLURM_TEST_CPUS     CPUs per node (may exceed reality)    2
#   SLURM_TEST_MEM      MB of memory per node                 2000
#   SLURM_TEST_GPUS     fake GPUs per node                    2
#   SLURM_TEST_PORT     slurmctld's port; node i gets PORT+i  26800
#   SLURM_TEST_TIMEOUT  seconds to wait for readiness         30
#   SLURM_TEST_TMP      private = every node has its own /tmp (needs root), as on a
#                       real cluster: catches code that takes /tmp for shared   shared
#   SLURM_TEST_CONF     extra lines appended to slurm.conf    (empty)
#   SLURM_TEST_INSTALL  0 = never call apt-get                1
#
# Partitions: main (default), low (preemptible: requeue), high (preempts low).

set -euo pipefail

DIR=${SLURM_TEST_DIR:-/tmp/slurm-test}
NODES=${SLURM_TEST_NODES:-2}
CPUS=${SLURM_TEST_CPUS:-2}
MEM=${SLURM_TEST_MEM:-2000}
GPUS=${SLURM_TEST_GPUS:-2}
PORT=${SLURM_TEST_PORT:-26800}
TIMEOUT=${SLURM_TEST_TIMEOUT:-30}

[[ $DIR == /* ]] || DIR=$PWD/$DIR
export SLURM_CONF=$DIR/etc/slurm.conf
export PATH=$PATH:/usr/sbin:/sbin

# Jobs of an enclosing allocation must not leak into the test cluster.
for name in $(compgen -e | grep -E '^(SLURM|SBATCH|SRUN|SALLOC|SQUEUE|SINFO)_' |
    grep -Ev '^SLURM_(CONF|TEST_)' || true); do
    unset "$name"
done

say() { printf 'slurm.sh: %s\n' "$*" >&2; }

show_logs() {
    local file
    for file in "$DIR"/log/*.log; do
        [ -e "$file" ] || continue
        printf '%s\n' "--- last lines of $file"
        tail -n "${1:-15}" "$file"
    done >&2
}

fail() {
    say "ERROR: $*"
    [ -d "$DIR/log" ] && show_logs
    exit 1
}

# -- processes ----------------------------------------------------------------

daemons() {  # names in start order
    local i
    echo munged slurmctld
    for ((i = 1; i <= NODES; i++)); do echo "slurmd-n$i"; done
}

# Prints the pid if the pid file names a live process that is really ours: same
# program, started for this $DIR (guards against recycled pids).
live_pid() {
    local pid
    pid=$(cat "$DIR/run/$1.pid" 2>/dev/null) || return 1
    [[ $pid =~ ^[0-9]+$ ]] || return 1
    [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "${1%%-*}" ] || return 1
    { tr '\0' '\n' <"/proc/$pid/environ"; } 2>/dev/null | grep -qxF "SLURM_CONF=$SLURM_CONF" || return 1
    echo "$pid"
}

wait_for() {  # wait_for SECONDS COMMAND...
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < deadline)) || return 1
        sleep 0.05
    done
}

start() {  # start NAME COMMAND...   (COMMAND daemonizes and writes its pid file)
    local name=$1 out=$DIR/log/$1.start
    shift
    live_pid "$name" >/dev/null && return 0
    rm -f "$DIR/run/$name.pid"
    ("$@") </dev/null >"$out" 2>&1 || { cat "$out" >&2; fail "$name did not start (exit status $?)"; }
    wait_for 5 live_pid "$name" >/dev/null || { cat "$out" >&2; fail "$name died at once"; }
}

stop() {  # stop NAME...: SIGTERM all of them, SIGKILL after 5 s
    local name pid pids=()
    for name in "$@"; do
        if pid=$(live_pid "$name"); then
            kill "$pid" 2>/dev/null || true
            pids+=("$pid")
        fi
    done
    for pid in "${pids[@]}"; do
        if ! wait_for 5 gone "$pid"; then
            say "process $pid ignored SIGTERM, killing it"
            kill -9 "$pid" 2>/dev/null || true
        fi
    done
    for name in "$@"; do rm -f "$DIR/run/$name.pid"; done
}

gone() { ! kill -0 "$1" 2>/dev/null; }

# -- configuration --------------------------------------------------------------

install_packages() {
    command -v slurmctld >/dev/null && command -v slurmd >/dev/null &&
        command -v sbatch >/dev/null && command -v munged >/dev/null && return 0
    [ "${SLURM_TEST_INSTALL:-1}" = 1 ] || fail "Slurm is not installed (and SLURM_TEST_INSTALL=0)"
    command -v apt-get >/dev/null || fail "Slurm is not installed and there is no apt-get to get it with"
    local sudo=() log=$DIR/log/apt.log
    if [ "$(id -u)" != 0 ]; then
        sudo -n true 2>/dev/null || fail "Slurm is not installed: as root, apt-get install slurmctld slurmd slurm-client munge"
        sudo=(sudo -n)
    fi
    say "installing slurmctld slurmd slurm-client munge ..."
    local apt=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y
        -o DPkg::Options::=--path-exclude=/usr/share/man/\* -o DPkg::Options::=--force-unsafe-io)
    local packages=(slurmctld slurmd slurm-client munge)
    "${apt[@]}" install --no-install-recommends "${packages[@]}" >"$log" 2>&1 ||
        { "${apt[@]}" update && "${apt[@]}" install --no-install-recommends "${packages[@]}"; } >>"$log" 2>&1 ||
        { tail -n 20 "$log" >&2; fail "apt-get could not install Slurm"; }
}

make_dirs() {
    # slurmd and munged insist on sane modes, whatever the umask is.
    local umask_before
    umask_before=$(umask)
    umask 022
    mkdir -p "$DIR"/{etc,log,run,munge,state,spool,dev}
    umask "$umask_before"
}

write_config() {
    local me host i conf gres
    me=$(id -un)
    host=$(hostname -s 2>/dev/null || uname -n)
    conf=$(
        cat <<EOF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$PORT
SlurmUser=$me
SlurmdUser=$me
AuthType=auth/munge
AuthInfo=socket=$DIR/munge/socket
StateSaveLocation=$DIR/state
SlurmctldPidFile=$DIR/run/slurmctld.pid
SlurmctldLogFile=$DIR/log/slurmctld.log
SlurmdSpoolDir=$DIR/spool/%n
SlurmdPidFile=$DIR/run/slurmd-%n.pid
SlurmdLogFile=$DIR/log/slurmd-%n.log
JobCompType=jobcomp/filetxt
JobCompLoc=$DIR/log/jobcomp.log

# No cgroups, no MPI, no switch.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none

# Believe the CPU and memory counts below instead of the hardware.
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=100
GresTypes=gpu

# React at once: a test does not want to wait for a batching scheduler.
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1
KillWait=5
ReturnToService=2
SlurmdTimeout=20
MinJobAge=600
JobRequeue=1

# Preemption by partition: a job in "high" sends the jobs of "low" back into the queue.
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal

EOF
        for ((i = 1; i <= NODES; i++)); do
            echo "NodeName=n$i NodeHostname=$host NodeAddr=127.0.0.1 Port=$((PORT + i))" \
                "CPUs=$CPUS RealMemory=$MEM Gres=gpu:$GPUS State=UNKNOWN"
        done
        cat <<EOF
PartitionName=main Nodes=ALL Default=YES PriorityTier=5 PreemptMode=OFF DefaultTime=10
PartitionName=low Nodes=ALL PriorityTier=1 PreemptMode=REQUEUE GraceTime=5 DefaultTime=10
PartitionName=high Nodes=ALL PriorityTier=9 PreemptMode=OFF DefaultTime=10
${SLURM_TEST_CONF:-}
EOF
    )
    gres=$(
        for ((i = 1; i <= NODES; i++)); do
            ((GPUS == 0)) || echo "NodeName=n$i Name=gpu File=$DIR/dev/n$i-gpu[0-$((GPUS - 1))]"
        done
    )
    ((GPUS > 0)) || conf=$(sed -e 's/ Gres=gpu:0//' -e '/^GresTypes/d' <<<"$conf")
    if [ -e "$SLURM_CONF" ] && [ "$conf" != "$(cat "$SLURM_CONF")" ] && live_pid slurmctld >/dev/null; then
        fail "a cluster with other settings is running in $DIR; run 'slurm.sh down' first"
    fi
    echo "$conf" >"$SLURM_CONF"
    echo "$gres" >"$DIR/etc/gres.conf"
    for ((i = 1; i <= NODES; i++)); do
        mkdir -p "$DIR/spool/n$i"
        local gpu
        # (a GPU has to be a character device)
        for ((gpu = 0; gpu < GPUS; gpu++)); do ln -sfn /dev/null "$DIR/dev/n$i-gpu$gpu"; done
    done
    # slurmd loads a cgroup plugin even if nothing uses it, and the one for cgroup v2 wants
    # systemd.  New versions can do without any; old ones get v1's, harmless while idle.
    local version plugin=cgroup/v1
    version=$(slurmctld -V | sed 's/^[^0-9]*//')
    [ "$(printf '%s\n' 23.11 "$version" | sort -V | head -n 1)" = 23.11 ] && plugin=disabled
    echo "CgroupPlugin=$plugin" >"$DIR/etc/cgroup.conf"
    [ -s "$DIR/munge/key" ] ||
        (umask 077 && dd if=/dev/urandom of="$DIR/munge/key" bs=128 count=1 status=none)
}

# Runs COMMAND with /tmp replaced by a directory of its own; $DIR stays visible.
with_own_tmp() {  # with_own_tmp NODE COMMAND...
    local tmp=$DIR/tmp/$1
    shift
    mkdir -p "$tmp/tmp"
    chmod 1777 "$tmp/tmp"
    if [[ $DIR == /tmp/* ]]; then mkdir -p "$tmp$DIR"; fi
    # shellcheck disable=SC2016
    exec unshare --mount --propagation private sh -ec '
        dir=$1 tmp=$2
        shift 2
        case $dir in /tmp/*) mount --rbind "$dir" "$tmp$dir" ;; esac
        mount --rbind "$tmp/tmp" /tmp
        exec "$@"' sh "$DIR" "$tmp" "$@"
}

port_is_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# -- commands ---------------------------------------------------------------------

nodes_ready() {
    local ready
    ready=$(timeout 5 sinfo --noheader --Node --partition=main --format=%t 2>/dev/null |
        grep -cE '^(idle|mix|alloc|comp)$') || true
    [ "${ready:-0}" = "$NODES" ]
}

is_up() {
    local name
    for name in $(daemons); do live_pid "$name" >/dev/null || return 1; done
    nodes_ready
}

up() {
    make_dirs
    exec 9>"$DIR/run/lock"
    flock -w 120 9 || fail "another slurm.sh holds $DIR/run/lock"
    install_packages
    write_config
    local i port
    if [ "${SLURM_TEST_TMP:-shared}" = private ] && [ "$(id -u)" != 0 ]; then
        fail "SLURM_TEST_TMP=private needs root (mount namespaces)"
    fi
    live_pid slurmctld >/dev/null || port_is_free "$PORT" || fail "port $PORT is taken; set SLURM_TEST_PORT"
    for ((i = 1; i <= NODES; i++)); do
        port=$((PORT + i))
        live_pid "slurmd-n$i" >/dev/null || port_is_free $port || fail "port $port is taken; set SLURM_TEST_PORT"
    done
    live_pid slurmctld >/dev/null || rm -f "$DIR"/log/{slurm,munged,jobcomp}*
    # The daemons must not inherit our lock.
    start munged munged --socket="$DIR/munge/socket" --key-file="$DIR/munge/key" \
        --pid-file="$DIR/run/munged.pid" --log-file="$DIR/log/munged.log" \
        --seed-file="$DIR/munge/seed" 9>&-
    wait_for 10 test -S "$DIR/munge/socket" || fail "munged made no socket"
    start slurmctld slurmctld 9>&-
    for ((i = 1; i <= NODES; i++)); do
        if [ "${SLURM_TEST_TMP:-shared}" = private ]; then
            start "slurmd-n$i" with_own_tmp "n$i" slurmd -N "n$i" 9>&-
        else
            start "slurmd-n$i" slurmd -N "n$i" 9>&-
        fi
    done
    wait_for "$TIMEOUT" nodes_ready || { sinfo >&2 || true; fail "not every node is ready after $TIMEOUT s"; }
    flock -u 9
    sinfo
}

no_jobs() { [ -z "$(timeout 5 squeue --noheader 2>/dev/null)" ]; }

down() {
    [ -d "$DIR/run" ] || { say "nothing to stop in $DIR"; return 0; }
    exec 9>"$DIR/run/lock"
    flock -w 120 9 || fail "another slurm.sh holds $DIR/run/lock"
    local name names=()
    if live_pid slurmctld >/dev/null; then
        # Job steps outlive slurmd, so they have to go first.  (By user, not by number:
        # Slurm 22.05 does not find the tasks of an array by their raw job ids.)
        timeout 10 squeue --noheader --format=%u 2>/dev/null | sort -u |
            xargs -r -n 1 timeout 10 scancel --full --user 2>/dev/null || true
        wait_for 15 no_jobs || say "jobs that did not end: $(squeue --noheader 2>/dev/null)"
    fi
    # Whatever has a pid file (the node count may have been another one); munged last.
    for name in "$DIR"/run/slurm*.pid; do
        name=${name##*/}
        names+=("${name%.pid}")
    done
    stop "${names[@]}"
    stop munged
    # A later `up` starts with an empty queue.
    rm -rf "$DIR/state" "$DIR/spool" "$DIR/tmp" "$DIR/munge/socket" "$DIR/munge/socket.lock"
    flock -u 9
    say "down"
}

case ${1:-} in
up) up ;;
down) down ;;
status)
    is_up || { say "not up"; exit 1; }
    sinfo
    ;;
env)
    printf 'export SLURM_CONF=%q\n' "$SLURM_CONF"
    ;;
run)
    shift
    is_up || fail "not up"
    exec "$@"
    ;;
logs) show_logs "${2:-40}" ;;
*)
    sed -n '2,/^$/s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac
