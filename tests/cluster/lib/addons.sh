# shellcheck shell=bash
# Cluster DNS and the default StorageClass. Both run as processes of the node,
# not as pods: the cluster is usable before its first pod.

apply_manifests() {
    local manifest=$STATE/addons.yaml
    mkdir -p "$STATE/volumes"
    sed "s|@VOLUMES@|$STATE/volumes|; s|@HELPER_IMAGE@|$HELPER_IMAGE|" "$CLUSTER_DIR/manifests/addons.yaml" >"$manifest.new"
    if cmp --silent "$manifest.new" "$manifest"; then return; fi
    node_kubectl apply --filename "$manifest.new" >>"$LOGS/addons.log" 2>&1 ||
        fail "kubectl apply failed; see $LOGS/addons.log"
    mv "$manifest.new" "$manifest"
}

ensure_dns() {
    # Names outside of the cluster do not exist here; answering so at once keeps
    # a resolver from trying again. In a block of its own: in CoreDNS's fixed
    # order "template" comes before "kubernetes".
    cat >"$STATE/Corefile" <<END
cluster.local:53 in-addr.arpa:53 ip6.arpa:53 {
    bind $NODE_ADDRESS
    errors
    ready 127.0.0.1:8181
    kubernetes {
        kubeconfig $STATE/kubeconfig/coredns
        ttl 5
    }
    loadbalance
}
.:53 {
    bind $NODE_ADDRESS
    template ANY ANY {
        rcode NXDOMAIN
    }
}
END
    daemon coredns "$(program coredns)" -conf "$STATE/Corefile"
    await coredns 30 in_node bash -c \
        'exec 3<>/dev/tcp/127.0.0.1/8181; printf "GET /ready HTTP/1.0\r\n\r\n" >&3; grep -q "200 OK" <&3'
}

ensure_storage() {
    daemon local-path-provisioner /usr/bin/env KUBECONFIG="$STATE/kubeconfig/storage" \
        "$(program local-path-provisioner)" start --namespace cluster-storage \
        --service-account-name default --configmap-name local-path --helper-image "$HELPER_IMAGE"
    sleep 0.1
    await local-path-provisioner 5 daemon_alive local-path-provisioner
}
