# shellcheck shell=bash
# What has to be on the machine. On Debian and Ubuntu the packages are installed;
# elsewhere one message names all that is missing.

# command → Debian package that brings it. The commands are the test, so that a
# machine that has them from elsewhere needs no package.
declare -A PACKAGE_OF=(
    [containerd]=containerd [ctr]=containerd [runc]=runc
    [nft]=nftables [conntrack]=conntrack [iptables]=iptables [ip]=iproute2
    [nsenter]=util-linux [setsid]=util-linux [flock]=util-linux [mount]=mount
    [openssl]=openssl [jq]=jq [npm]=npm [python3]=python3 [pip3]=python3-pip
    [/usr/lib/cni/ptp]=containernetworking-plugins
    [/bin/busybox]=busybox
    [/usr/lib/postgresql/15/bin/postgres]=postgresql-15
    [/usr/lib/postgresql/15/lib/wal2json.so]=postgresql-15-wal2json
    [/usr/lib/postgresql/15/lib/pgaudit.so]=postgresql-15-pgaudit
    [/usr/lib/postgresql/15/lib/pg_cron.so]=postgresql-15-cron
    [cc]=gcc
    [/etc/ssl/certs/ca-certificates.crt]=ca-certificates
    [/usr/share/zoneinfo/UTC]=tzdata
)

# Prints the commands of the table that are missing.
missing_commands() {
    local command
    for command in "${!PACKAGE_OF[@]}"; do
        case $command in
        /*) [[ -e $command ]] ;;
        *) command -v "$command" >/dev/null ;;
        esac || printf '%s\n' "$command"
    done
}

go_is_recent() {
    local version
    version=$(go env GOVERSION 2>/dev/null) || return 1
    printf '%s\n' 1.26 "${version#go}" | sort --version-sort --check=quiet
}

ensure_prerequisites() {
    local missing packages problems=() command
    mapfile -t missing < <(missing_commands)
    if ((${#missing[@]})) && command -v apt-get >/dev/null; then
        mapfile -t packages < <(for command in "${missing[@]}"; do echo "${PACKAGE_OF[$command]}"; done | sort -u)
        note "installing ${packages[*]}"
        install_packages "${packages[@]}"
        mapfile -t missing < <(missing_commands)
    fi
    for command in "${missing[@]}"; do
        problems+=("$command (Debian package ${PACKAGE_OF[$command]})")
    done
    go_is_recent || problems+=("go 1.26 or newer")
    ((${#problems[@]} == 0)) || fail "missing on this machine: $(printf '%s; ' "${problems[@]}")see $CACHE/log/apt.log for what apt said"
}

# Packages must not start services on the test machine: policy-rc.d forbids it
# for the length of the installation, and Debian's PostgreSQL makes no cluster.
install_packages() {
    local policy=/usr/sbin/policy-rc.d ours=""
    mkdir -p "$CACHE/log"
    if [[ ! -e $policy ]]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
        ours=yes
    fi
    if [[ ! -e /etc/postgresql-common/createcluster.conf ]]; then
        mkdir -p /etc/postgresql-common
        echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
    fi
    {
        apt-get update &&
            DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
                -o Dpkg::Options::=--force-confold "$@"
    } >"$CACHE/log/apt.log" 2>&1 || true # the caller looks again and says what is missing
    [[ -z $ours ]] || rm -f "$policy"
}
