# shellcheck shell=bash
# run.sh is not there on purpose: upstream's calls sudo, which no restricted pod may.
# shellcheck source=standin.sh
source "$CLUSTER_DIR/recipes/standin.sh"
recipe_build() {
    standin_root "$1" /app/bin/migrate /app/bin/server
}
recipe_config() { standin_config realtime ', "WorkingDir": "/app", "Entrypoint": ["/usr/bin/tini", "-s", "-g", "--", "/app/run.sh"], "Cmd": ["/app/bin/server"]' '"ERL_AFLAGS=-proto_dist inet6_tcp"'; }
