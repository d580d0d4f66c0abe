# shellcheck shell=bash
# shellcheck source=standin.sh
source "$CLUSTER_DIR/recipes/standin.sh"
recipe_build() {
    standin_root "$1" /usr/local/bin/edge-runtime
    mkdir -p "$1/home/deno/functions"
}
recipe_config() { standin_config functions ', "Entrypoint": ["edge-runtime"]'; }
