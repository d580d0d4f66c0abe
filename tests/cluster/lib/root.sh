# shellcheck shell=bash
# What recipes fill an image's root directory with. Programs of the machine are
# copied with the shared libraries that they name: quicker than a debootstrap,
# and from the same packages.

# The layout of a merged-usr Debian, an account table and a /tmp.
debian_root() {
    local root=$1 directory
    mkdir -p "$root"/usr/{bin,sbin,lib,lib64} "$root"/{etc,tmp,root,proc,sys,dev,run,var/tmp,var/lib,home}
    for directory in bin sbin lib lib64; do ln -s "usr/$directory" "$root/$directory"; done
    chmod 1777 "$root/tmp" "$root/var/tmp"
    accounts "$root"
    cp /etc/nsswitch.conf "$root/etc/"
    cp /etc/debian_version "$root/etc/" 2>/dev/null || true
    echo 'PRETTY_NAME="Programs of the test machine, for tests/cluster"' >"$root/etc/os-release"
}

# accounts ROOT [NAME:ID…]
accounts() {
    local root=$1 entry
    shift
    mkdir -p "$root/etc"
    echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
    echo 'root:x:0:' >"$root/etc/group"
    for entry in "$@" nobody:65534; do
        echo "${entry%:*}:x:${entry#*:}:${entry#*:}:${entry%:*}:/nonexistent:/bin/sh" >>"$root/etc/passwd"
        echo "${entry%:*}:x:${entry#*:}:" >>"$root/etc/group"
    done
}

ca_certificates() {
    mkdir -p "$1/etc/ssl/certs"
    cp -L /etc/ssl/certs/ca-certificates.crt "$1/etc/ssl/certs/"
}

# The shared libraries that programs need, the dynamic loader included.
libraries_of() {
    # ldd fails for scripts and static programs: they need none.
    { ldd "$@" 2>/dev/null || true; } | awk '$2 == "=>" && $3 ~ /^\// {print $3} $1 ~ /^\// && $1 !~ /:$/ {print $1}' | sort -u
}

# copy_libraries ROOT FILE…
copy_libraries() {
    local root=$1 library
    shift
    while read -r library; do
        copy_file "$root" "$library"
    done < <(libraries_of "$@")
}

# copy_file ROOT FILE: to the same path (below /usr where /bin and /lib are links).
copy_file() {
    local target
    target=$1$(realpath -m "$(dirname "$2")")/${2##*/}
    [[ -e $target ]] || install -D -m "$(stat -L -c %a "$2")" "$2" "$target"
}

# Programs of Debian packages, with their libraries.
copy_packages() {
    local root=$1 file files=()
    shift
    while read -r file; do
        [[ -f $file && -x $file ]] || continue
        files+=("$file")
        if [[ -L $file && $(realpath "$file") == "$(realpath -m "$(dirname "$file")")"/* ]]; then
            ln -sfn "$(basename "$(realpath "$file")")" "$root$(realpath -m "$(dirname "$file")")/${file##*/}"
        else
            copy_file "$root" "$file"
        fi
    done < <(dpkg -L "$@" | grep -E '^(/usr)?/s?bin/')
    copy_libraries "$root" "${files[@]}"
    ln -sfn dash "$root/usr/bin/sh"
}

package_versions() {
    # shellcheck disable=SC2016 # the format is dpkg's, not the shell's
    dpkg-query --show --showformat '${Package} ${Version}\n' "$@" libc6 || true
}

BASE_PACKAGES=(coreutils bash dash sed grep findutils mawk)
