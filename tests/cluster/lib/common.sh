# shellcheck shell=bash
# Names, places and messages that every command of tests/cluster shares.

CLUSTER_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
REPOSITORY=$(cd "$CLUSTER_DIR/../.." && pwd)
STATE_ROOT=/var/lib/supabase-operator-cluster
CACHE=${SUPABASE_CLUSTER_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/supabase-operator}

# Every cluster has a network namespace of its own, so all of them use these.
NODE_NAME=node
NODE_ADDRESS=10.10.0.2
POD_NETWORK=10.244.0.0/16
SERVICE_NETWORK=10.96.0.0/16
SERVICE_ADDRESS=10.96.0.1
API=https://127.0.0.1:6443

COMMAND=${0##*/}
STEP=0
STEPS=0
STEP_STARTED=0
LINE_OPEN=

fail() {
    [[ -z $LINE_OPEN ]] || printf '\n' >&2
    printf '%s: %s\n' "$COMMAND" "$*" >&2
    exit 1
}

# One line per step: its number and title now, its outcome when it ends.
step() {
    STEP=$((STEP + 1))
    STEP_STARTED=$EPOCHREALTIME
    LINE_OPEN=yes
    printf '[%d/%d] %s … ' "$STEP" "$STEPS" "$*"
}

step_done() {
    local took=$(((${EPOCHREALTIME//[.,]/} - ${STEP_STARTED//[.,]/}) / 100000))
    [[ -n $LINE_OPEN ]] || printf '      '
    printf '%s (%d.%d s)\n' "$*" $((took / 10)) $((took % 10))
    LINE_OPEN=
}

# A note below the line of a step that takes long.
note() {
    [[ -z $LINE_OPEN ]] || printf '\n'
    LINE_OPEN=
    printf '      %s\n' "$*"
}

need_root() {
    [[ $(id -u) == 0 ]] ||
        fail "must run as root: it makes a network namespace, cgroups and mounts (try: sudo $0)"
}

# Sets the variables of one cluster. The unix sockets below the state directory
# must stay under 108 characters, hence the limit on the name.
select_cluster() {
    CLUSTER=${1:-${CLUSTER_NAME:-supabase}}
    [[ $CLUSTER =~ ^[a-z0-9][a-z0-9-]{0,29}$ ]] ||
        fail "cluster name '$CLUSTER': use 1 to 30 of a-z, 0-9 and -"
    STATE=$STATE_ROOT/$CLUSTER
    LOGS=$STATE/log
    PKI=$STATE/pki
    NETNS=supabase-cluster-$CLUSTER
    CGROUP=supabase-cluster-$CLUSTER
    CONTAINERD_SOCKET=$STATE/containerd.sock
}

in_node() { nsenter --net="/run/netns/$NETNS" -- "$@"; }

node_kubectl() { in_node "$STATE/bin/kubectl" --kubeconfig "$STATE/kubeconfig/admin" "$@"; }

node_ctr() { ctr --address "$CONTAINERD_SOCKET" --namespace k8s.io "$@"; }

# A key for a cache entry: the hash of all that is given on standard input.
hash_input() { sha256sum | cut -c1-16; }

# One holder at a time of a named lock in the cache; ends with the (sub)shell.
# Daemons must not inherit it: see daemon() in processes.sh.
hold_lock() {
    mkdir -p "$(dirname "$1")"
    exec 9>"$1"
    flock --nonblock 9 && return
    note "waiting for another run that holds $1"
    flock 9
}
