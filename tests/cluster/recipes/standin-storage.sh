# shellcheck shell=bash
# shellcheck source=standin.sh
source "$CLUSTER_DIR/recipes/standin.sh"
recipe_build() {
    standin_root "$1" /usr/local/bin/node
    mkdir -p "$1/app" "$1/var/lib/storage"
}
recipe_config() { standin_config storage ', "WorkingDir": "/app", "Cmd": ["node", "dist/start/server.js"]'; }
