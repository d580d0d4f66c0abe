# shellcheck shell=bash
# CloudNativePG copies /manager into each database pod, and looks for its own
# program of each architecture below /operator.
recipe_inputs() { go_tool_directory cnpg; }
recipe_build() {
    install -D -m 755 "$(go_tool_directory cnpg)/manager" "$1/operator/manager_$(go env GOARCH)"
    ln -s "operator/manager_$(go env GOARCH)" "$1/manager"
    ca_certificates "$1"
    mkdir -p "$1/etc"
    echo 'nonroot:x:10001:10001::/nonexistent:/sbin/nologin' >"$1/etc/passwd"
}
recipe_config() { echo '{"Entrypoint": ["/manager"], "User": "10001:10001"}'; }
