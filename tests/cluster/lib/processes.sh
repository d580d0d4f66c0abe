# shellcheck shell=bash
# The node's processes: started into the network namespace, recorded by process
# id and start time (an id alone may be somebody else's by now), never by name.

start_time() {
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    # The command in parentheses may hold spaces: count fields after it.
    # shellcheck disable=SC2086
    set -- ${stat##*) }
    printf '%s\n' "${20}"
}

daemon_alive() {
    local pid since
    { read -r pid since <"$STATE/run/$1.pid"; } 2>/dev/null || return 1
    [[ $(start_time "$pid") == "$since" ]] || return 1
    # A zombie that nobody reaps is no daemon.
    ! grep -q '^State:[[:space:]]*Z' "/proc/$pid/status" 2>/dev/null
}

stop_daemon() {
    local pid _ tries
    if daemon_alive "$1"; then
        read -r pid _ <"$STATE/run/$1.pid"
        kill "$pid" 2>/dev/null || true
        for ((tries = 0; tries < 50; tries++)); do
            daemon_alive "$1" || break
            sleep 0.1
        done
        if daemon_alive "$1"; then kill -9 "$pid" 2>/dev/null || true; fi
    fi
    rm -f "$STATE/run/$1.pid"
}

# daemon NAME COMMAND…: runs it unless exactly this command line runs already,
# so that a changed flag or a newly built binary restarts just what it concerns.
daemon() {
    local name=$1 command pid
    shift
    printf -v command '%q ' "$@"
    if daemon_alive "$name" && [[ $(<"$STATE/run/$name.command") == "$command" ]]; then
        return
    fi
    stop_daemon "$name"
    printf '%s' "$command" >"$STATE/run/$name.command"
    # setsid and nsenter both replace themselves, so $! is the daemon's own id.
    (
        exec 9>&-
        exec setsid nsenter --net="/run/netns/$NETNS" -- "$@" </dev/null >>"$LOGS/$name.log" 2>&1
    ) &
    pid=$!
    printf '%s %s\n' "$pid" "$(start_time "$pid")" >"$STATE/run/$name.pid"
}

# await NAME SECONDS COMMAND…: until the command succeeds, while NAME lives.
await() {
    local name=$1 deadline=$((SECONDS + $2))
    shift 2
    until "$@" >/dev/null 2>&1; do
        if ! daemon_alive "$name"; then
            fail "$name ended; its last words, from $LOGS/$name.log:
$(tail -n 5 "$LOGS/$name.log")"
        fi
        ((SECONDS < deadline)) || fail "$name is not ready in time; see $LOGS/$name.log"
        sleep 0.1
    done
}

# Where cgroup hierarchies are mounted: one on cgroup v2, many on v1 or hybrid.
cgroup_mounts() { awk '$3 == "cgroup" || $3 == "cgroup2" {print $2}' /proc/self/mounts; }

make_cgroups() {
    local mount file controllers
    while read -r mount; do
        mkdir -p "$mount/$CGROUP"
        # v1 cpuset: a new group has no cpus and no memory nodes and takes no process.
        for file in cpuset.cpus cpuset.mems; do
            if [[ -e $mount/$file && ! -e $mount/cgroup.controllers ]]; then
                cat "$mount/$file" >"$mount/$CGROUP/$file"
            fi
        done
    done < <(cgroup_mounts)
    if [[ -e /sys/fs/cgroup/cgroup.controllers ]]; then
        controllers=$(sed 's/[^ ]\+/+&/g' /sys/fs/cgroup/cgroup.controllers)
        echo "$controllers" >/sys/fs/cgroup/cgroup.subtree_control
        echo "$controllers" >"/sys/fs/cgroup/$CGROUP/cgroup.subtree_control"
    fi
}

# `up` and all it starts (also what it builds) go into one group of their own,
# so that `down` finds them whatever became of `up`.
join_cgroup() {
    local mount=/sys/fs/cgroup
    [[ -e $mount/cgroup.controllers ]] || mount=$(awk '$3 == "cgroup" && $4 ~ /(^|,)pids(,|$)/ {print $2}' /proc/self/mounts)
    [[ -n $mount ]] || fail "no cgroup hierarchy with the pids controller is mounted"
    mkdir -p "$mount/$CGROUP/up"
    echo $$ >"$mount/$CGROUP/up/cgroup.procs"
}

# Every process of the cluster: members of its cgroups (pods and what `up`
# started) and of its network namespace (what `enter` runs).
cluster_processes() {
    local mount
    while read -r mount; do
        [[ -d $mount/$CGROUP ]] || continue
        find "$mount/$CGROUP" -name cgroup.procs -exec cat {} + 2>/dev/null || true
    done < <(cgroup_mounts) | sort -un
    if [[ -e /run/netns/$NETNS ]]; then ip netns pids "$NETNS" 2>/dev/null || true; fi
}
