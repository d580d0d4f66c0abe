# shellcheck shell=bash
POSTGRES_PACKAGES=(postgresql-15 postgresql-client-15 postgresql-15-wal2json)
POSTGRES_BASE=("${BASE_PACKAGES[@]}" tar gzip openssl hostname procps)

recipe_inputs() { package_versions "${POSTGRES_PACKAGES[@]}" "${POSTGRES_BASE[@]}" tzdata; }

recipe_build() {
    local root=$1 programs libraries
    debian_root "$root"
    accounts "$root" postgres:999
    copy_packages "$root" "${POSTGRES_BASE[@]}"
    mkdir -p "$root"/usr/lib/postgresql "$root"/usr/share/postgresql
    cp -r /usr/lib/postgresql/15 "$root/usr/lib/postgresql/15"
    cp -r /usr/share/postgresql/15 "$root/usr/share/postgresql/15"
    # The JIT needs all of LLVM (110 MB); PostgreSQL goes without when it is absent.
    rm -rf "$root"/usr/lib/postgresql/15/lib/{llvmjit*,bitcode} "$root/usr/share/postgresql/15/man"
    mapfile -t programs < <(find "$root/usr/lib/postgresql/15/bin" -type f)
    mapfile -t libraries < <(find "$root/usr/lib/postgresql/15/lib" -name '*.so')
    copy_libraries "$root" "${programs[@]}" "${libraries[@]}"
    # Debian's server reads the system's time zones; C.UTF-8 is a directory.
    cp -rL /usr/share/zoneinfo "$root/usr/share/zoneinfo"
    rm -rf "$root"/usr/share/zoneinfo/{right,posix}
    mkdir -p "$root/usr/lib/locale"
    cp -r /usr/lib/locale/C.utf8 "$root/usr/lib/locale/"
    echo "Etc/UTC" >"$root/etc/timezone"
    ln -s /usr/share/zoneinfo/Etc/UTC "$root/etc/localtime"
    ca_certificates "$root"
    mkdir -p "$root"/{var/run,var/lib/postgresql/data,docker-entrypoint-initdb.d}
    mkdir -m 1777 "$root/var/run/postgresql" "$root/run/postgresql"
    chmod 1777 "$root/var/lib/postgresql/data" "$root/var/lib/postgresql"
}

recipe_config() {
    echo '{"Cmd": ["postgres"], "User": "999:999",
      "Env": ["PATH=/usr/lib/postgresql/15/bin:/usr/local/bin:/usr/bin:/bin", "PG_MAJOR=15", "LANG=C.UTF-8",
              "PGDATA=/var/lib/postgresql/data"]}'
}
