# shellcheck shell=bash
# shellcheck source=standin.sh
source "$CLUSTER_DIR/recipes/standin.sh"
recipe_build() {
    standin_root "$1" /docker-entrypoint.sh /usr/local/bin/kong
    accounts "$1" kong:1001
    mkdir -m 1777 "$1/usr/local/kong"
}
recipe_config() { standin_config kong ', "Entrypoint": ["/docker-entrypoint.sh"], "Cmd": ["kong", "docker-start"], "User": "kong"'; }
