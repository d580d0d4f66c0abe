# shellcheck shell=bash
recipe_inputs() {
    envoy_program
    package_versions "${BASE_PACKAGES[@]}"
}
recipe_build() {
    debian_root "$1"
    accounts "$1" envoy:101
    copy_packages "$1" "${BASE_PACKAGES[@]}"
    install -D -m 755 "$(envoy_program)" "$1/usr/local/bin/envoy"
    copy_libraries "$1" "$(envoy_program)"
    ca_certificates "$1"
    mkdir -p "$1/etc/envoy"
}
recipe_config() {
    echo '{"Entrypoint": ["/usr/local/bin/envoy"], "Cmd": ["-c", "/etc/envoy/envoy.yaml"],
      "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]}'
}
