# shellcheck shell=bash
OPERATOR_PROGRAM=$REPOSITORY/target/image/supabase-operator

recipe_missing() {
    [[ -e $OPERATOR_PROGRAM ]] || echo "target/image/supabase-operator is not built; run 'make operator-binary' first"
}
recipe_inputs() { sha256sum <"$OPERATOR_PROGRAM"; }
recipe_build() {
    install -m 755 "$OPERATOR_PROGRAM" "$1/supabase-operator"
    ca_certificates "$1"
    mkdir -p "$1/etc"
    echo 'supabase-operator:x:65532:65532::/nonexistent:/sbin/nologin' >"$1/etc/passwd"
}
recipe_config() { echo '{"Entrypoint": ["/supabase-operator"], "User": "65532:65532"}'; }
