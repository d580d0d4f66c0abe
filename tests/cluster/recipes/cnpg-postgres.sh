# shellcheck shell=bash
# The postgres image, with what a Cluster of the operator loads at start, and the
# user of the image whose name it has.
# shellcheck source=postgres.sh
source "$CLUSTER_DIR/recipes/postgres.sh"
POSTGRES_PACKAGES+=(postgresql-15-pgaudit postgresql-15-cron)
eval "plain_postgres() $(declare -f recipe_build | tail -n +2)"
eval "plain_inputs() $(declare -f recipe_inputs | tail -n +2)"

recipe_inputs() {
    plain_inputs
    cat "$CLUSTER_DIR/recipes/postgres.sh" "$CLUSTER_DIR/tools/pg_net/empty.c"
}

recipe_build() {
    local root=$1
    plain_postgres "$root"
    sed -i 's/^postgres:.*/postgres:x:101:102::\/var\/lib\/postgresql:\/bin\/sh/' "$root/etc/passwd"
    sed -i 's/^postgres:.*/postgres:x:102:/' "$root/etc/group"
    # No Debian package brings pg_net: a library that can be loaded, and does nothing.
    cc -shared -fPIC -o "$root/usr/lib/postgresql/15/lib/pg_net.so" "$CLUSTER_DIR/tools/pg_net/empty.c"
}

recipe_config() {
    echo '{"Cmd": ["postgres"], "User": "101:102",
      "Env": ["PATH=/usr/lib/postgresql/15/bin:/usr/local/bin:/usr/bin:/bin", "PG_MAJOR=15", "LANG=C.UTF-8"]}'
}
