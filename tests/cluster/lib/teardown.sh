# shellcheck shell=bash
# Removes a cluster, in whatever state it is: nothing here asks a process to
# cooperate, and every part may already be gone.

teardown() {
    remember_shim_sockets
    kill_processes
    unmount_state
    ip netns delete "$NETNS" 2>/dev/null || true
    remove_cgroups
    remove_cni_results
    rm -rf --one-file-system "$STATE"
    rmdir "$STATE_ROOT" 2>/dev/null || true
}

# containerd's shims keep their sockets in /run/containerd/s whatever the state
# directory; each bundle's file "address" names its own.
remember_shim_sockets() {
    local file address
    SHIM_SOCKETS=()
    for file in "$STATE"/containerd-run/io.containerd.runtime.v2.task/*/*/address; do
        [[ -e $file ]] || continue
        address=$(<"$file")
        SHIM_SOCKETS+=("${address#unix://}")
    done
}

# The CNI library keeps its results in one place for all of the machine.
remove_cni_results() {
    local sandbox
    for sandbox in "$STATE"/containerd/io.containerd.grpc.v1.cri/sandboxes/*; do
        rm -f "/var/lib/cni/results/cni-loopback-${sandbox##*/}-lo" "/var/lib/cni/results/$NETNS-${sandbox##*/}-"*
    done
}

kill_processes() {
    local tries pids
    for ((tries = 0; tries < 100; tries++)); do
        mapfile -t pids < <(cluster_processes | grep -vx "$$" || true)
        ((${#pids[@]})) || break
        kill -9 "${pids[@]}" 2>/dev/null || true
        sleep 0.1
    done
    ((tries < 100)) || fail "these processes do not end: ${pids[*]}"
    ((${#SHIM_SOCKETS[@]} == 0)) || rm -f "${SHIM_SOCKETS[@]}"
}

# Deepest first; lazily, because a mount that something else still looks at
# (a shell standing in it) must not keep the rest.
unmount_state() {
    local path
    while read -r path; do
        umount --lazy "$path" 2>/dev/null || true
    done < <(awk -v prefix="$STATE/" 'index($5, prefix) == 1 {print $5}' /proc/self/mountinfo | sort -r)
    if grep -q " $STATE/" /proc/self/mountinfo; then
        fail "cannot unmount $(grep -o " $STATE/[^ ]*" /proc/self/mountinfo | head -n 1)"
    fi
}

# The kernel empties a group a moment after its last process is gone.
remove_cgroups() {
    local mount tries
    while read -r mount; do
        for ((tries = 0; tries < 50; tries++)); do
            [[ -d $mount/$CGROUP ]] || break
            find "$mount/$CGROUP" -depth -type d -exec rmdir {} + 2>/dev/null || sleep 0.1
        done
        [[ ! -d $mount/$CGROUP ]] || fail "cannot remove the cgroup $mount/$CGROUP"
    done < <(cgroup_mounts)
}
