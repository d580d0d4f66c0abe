# shellcheck shell=bash
# shellcheck source=standin.sh
source "$CLUSTER_DIR/recipes/standin.sh"
recipe_build() {
    standin_root "$1" /usr/local/bin/node
    # Only a volume makes them writable for another user than root.
    mkdir -p "$1"/app/{snippets,edge-functions,apps/studio/.next/cache}
}
recipe_config() { standin_config studio ', "WorkingDir": "/app", "Cmd": ["node", "apps/studio/server.js"]' '"PORT=3000"'; }
