# shellcheck shell=bash
# shellcheck source=standin.sh
source "$CLUSTER_DIR/recipes/standin.sh"
recipe_build() {
    standin_root "$1" /usr/local/bin/imgproxy /opt/imgproxy/bin/imgproxy
    accounts "$1" imgproxy:999
}
recipe_config() { standin_config imgproxy ', "Cmd": ["imgproxy"], "User": "999"'; }
