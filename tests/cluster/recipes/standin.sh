# shellcheck shell=bash
# What the recipes standin-*.sh share; not a recipe itself.
STANDIN_PROGRAM=$REPOSITORY/target/image/supabase-standin

recipe_missing() {
    [[ -e $STANDIN_PROGRAM ]] || echo "target/image/supabase-standin is not built; run 'make standin-binary' first"
}
recipe_inputs() {
    cat "$CLUSTER_DIR/recipes/standin.sh"
    sha256sum <"$STANDIN_PROGRAM"
    sha256sum </bin/busybox
}

# standin_root ROOT PROGRAM…: the stand-in under upstream's paths, and a shell, which all of these images have.
standin_root() {
    local root=$1 applet program
    shift
    debian_root "$root"
    ca_certificates "$root"
    copy_file "$root" /bin/busybox
    copy_libraries "$root" /bin/busybox
    for applet in sh cat echo sleep test true ls env; do ln -s busybox "$root/bin/$applet"; done
    install -D -m 755 "$STANDIN_PROGRAM" "$root/usr/local/bin/supabase-standin"
    for program; do
        mkdir -p "$root${program%/*}"
        ln -s /usr/local/bin/supabase-standin "$root$program"
    done
}

# standin_config COMPONENT MORE: MORE are further fields of the configuration, each with a comma before it.
standin_config() {
    local path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    echo "{\"Env\": [\"PATH=$path\", \"STANDIN_COMPONENT=$1\"${3:+, $3}]$2}"
}
