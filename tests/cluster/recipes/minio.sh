# shellcheck shell=bash
recipe_inputs() { go_tool_directory minio; }
recipe_build() {
    install -D -m 755 "$(go_tool_directory minio)/minio" "$1/usr/bin/minio"
    mkdir -m 1777 "$1/tmp"
    ca_certificates "$1"
    accounts "$1"
}
recipe_config() { echo '{"Entrypoint": ["minio"], "Env": ["PATH=/usr/bin"]}'; }
