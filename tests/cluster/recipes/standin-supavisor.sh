# shellcheck shell=bash
# shellcheck source=standin.sh
source "$CLUSTER_DIR/recipes/standin.sh"
recipe_build() {
    standin_root "$1" /app/bin/migrate /app/bin/server /app/bin/supavisor
}
recipe_config() { standin_config supavisor ', "WorkingDir": "/app", "Cmd": ["/app/bin/server"]' '"RLIMIT_NOFILE=100000"'; }
