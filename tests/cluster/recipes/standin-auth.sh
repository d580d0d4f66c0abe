# shellcheck shell=bash
# shellcheck source=standin.sh
source "$CLUSTER_DIR/recipes/standin.sh"
recipe_build() {
    standin_root "$1" /usr/local/bin/auth /usr/local/bin/gotrue
    accounts "$1" supabase:1000
}
recipe_config() { standin_config auth ', "Cmd": ["auth"], "User": "supabase"'; }
