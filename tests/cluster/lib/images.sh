# shellcheck shell=bash
# Images without a registry: a recipe fills a directory, tools/image packs it,
# containerd imports it under its upstream name. Built images are cached under
# the hash of what they are made from; a loaded one is recognised by its digest.

PAUSE_IMAGE=localhost/pause:1
HELPER_IMAGE=docker.io/library/busybox:1.35
IMAGE_TABLE=$CLUSTER_DIR/images

# The table without comments: image, recipe, where else it could come from.
image_rows() { sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$IMAGE_TABLE"; }

# The rows of what was asked for: full names, names without the registry
# (postgrest/postgrest:v14.17), or recipes.
select_images() {
    local wanted found
    if (($# == 0)); then
        image_rows
        return
    fi
    for wanted; do
        found=$(image_rows | awk -v wanted="$wanted" '
            $1 == wanted || $2 == wanted { print; next }
            { short = $1; while (sub(/^[^\/]*\//, "", short)) if (short == wanted) { print; next } }')
        [[ -n $found ]] || fail "no image or recipe '$wanted' in $IMAGE_TABLE; it has: $(image_rows | awk '{printf "%s (%s) ", $1, $2}')"
        printf '%s\n' "$found"
    done
}

# Runs one function of a recipe; recipes are sourced in a subshell, so that
# each may use the same function names.
recipe() (
    local name=$1 function=$2
    shift 2
    # shellcheck disable=SC2317 # for recipes that always can be built
    recipe_missing() { :; }
    # shellcheck source=/dev/null
    source "$CLUSTER_DIR/recipes/$name.sh"
    "recipe_$function" "$@"
)

image_key() {
    {
        echo "$1"
        cat "$CLUSTER_DIR/recipes/$2.sh" "$CLUSTER_DIR/lib/root.sh" "$CLUSTER_DIR/tools/image/main.go"
        recipe "$2" inputs
    } | hash_input
}

# build_image IMAGE RECIPE KEY: leaves KEY.tar and KEY.digest in the cache.
build_image() {
    local image=$1 recipe=$2 key=$3 building
    building=$(mktemp -d "$CACHE/images/$recipe.building.XXXXXX")
    mkdir "$building/root"
    chmod 755 "$building/root"
    recipe "$recipe" build "$building/root" >"$CACHE/log/image-$recipe.log" 2>&1 ||
        fail "the recipe recipes/$recipe.sh failed; see $CACHE/log/image-$recipe.log"
    recipe "$recipe" config >"$building/config.json"
    "$(go_tool_directory image)/image" -name "$image" -root "$building/root" \
        -config "$building/config.json" -output "$building/image.tar" >"$building/digest"
    # Older builds of the same image are of no use any more.
    rm -f "$CACHE/images/${image//[\/:]/_}"-*.{tar,digest}
    mv "$building/image.tar" "$(image_file "$image" "$key").tar"
    mv "$building/digest" "$(image_file "$image" "$key").digest"
    rm -rf "$building"
}

image_file() { echo "$CACHE/images/${1//[\/:]/_}-$2"; }

# load_image IMAGE RECIPE LOADED: builds and imports what is not there yet.
# LOADED holds the lines "name digest" of what containerd has.
load_image() {
    local image=$1 recipe=$2 loaded=$3 key file why
    why=$(recipe "$recipe" missing)
    if [[ -n $why ]]; then
        SKIPPED+=("$image: $why")
        return
    fi
    key=$(image_key "$image" "$recipe")
    file=$(image_file "$image" "$key")
    if [[ ! -e $file.digest ]]; then
        ((SECONDS - IMAGES_STARTED < 2)) || note "building $image"
        build_image "$image" "$recipe" "$key"
    fi
    if ! grep -qxF "$image $(<"$file.digest")" <<<"$loaded"; then
        node_ctr images import "$file.tar" >>"$LOGS/images.log" 2>&1 9>&- &
        IMPORTED[$!]=$image
    fi
}

# load_images [NAME…]: all of the table, or what is named.
load_images() {
    local rows loaded image recipe pid _
    IMAGES_STARTED=$SECONDS
    SKIPPED=()
    IMPORTED=()
    rows=$(select_images "$@")
    mkdir -p "$CACHE/images" "$CACHE/log"
    hold_lock "$CACHE/images.lock"
    find "$CACHE/images" -maxdepth 1 -name '*.building.*' -exec rm -rf {} +
    loaded=$(node_ctr images list | awk '{print $1, $3}')
    while read -r image recipe _; do
        load_image "$image" "$recipe" "$loaded"
    done <<<"$rows"
    # All at once, while the next one was being built.
    for pid in "${!IMPORTED[@]}"; do
        wait "$pid" || fail "cannot import ${IMPORTED[$pid]}; see $LOGS/images.log"
    done
    exec 9>&-
}
