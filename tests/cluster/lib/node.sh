# shellcheck shell=bash
# containerd, the kubelet and kube-proxy.

write_containerd_config() {
    # restrict_oom_score_adj: without CAP_SYS_RESOURCE (a root of a sandbox)
    # every pod fails with runc's "can't get final child's PID from pipe: EOF".
    # netns_mounts_under_state_dir: pods' namespaces are then found and
    # unmounted with the rest of the state directory.
    cat >"$STATE/containerd.toml" <<END
version = 2
root = "$STATE/containerd"
state = "$STATE/containerd-run"
[grpc]
  address = "$CONTAINERD_SOCKET"
[plugins."io.containerd.internal.v1.opt"]
  path = "$STATE/containerd-opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$PAUSE_IMAGE"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$STATE/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      Root = "$STATE/runc"
      SystemdCgroup = false
END
}

ensure_containerd() {
    write_cni
    write_containerd_config
    daemon containerd "$(command -v containerd)" --config "$STATE/containerd.toml"
    await containerd 30 node_ctr version
}

write_kubelet_config() {
    # Images cannot be pulled again here, so the kubelet must never remove one
    # (imageGCHighThresholdPercent) nor evict pods for a full disk of the host.
    cat >"$STATE/kubelet.yaml" <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix://$CONTAINERD_SOCKET
failCgroupV1: false
failSwapOn: false
cgroupDriver: cgroupfs
cgroupRoot: /$CGROUP
enforceNodeAllocatable: []
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: $PKI/ca.crt}
authorization: {mode: Webhook}
tlsCertFile: $PKI/kubelet-server.crt
tlsPrivateKeyFile: $PKI/kubelet-server.key
clusterDomain: cluster.local
clusterDNS: [$NODE_ADDRESS]
resolvConf: $STATE/resolv.conf
podLogsDir: $STATE/pod-logs
volumePluginDir: $STATE/volume-plugins
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}
maxPods: 250
registryPullQPS: 50
END
}

start_kubelet() {
    write_kubelet_config
    daemon kubelet "$(program kubelet)" --config "$STATE/kubelet.yaml" \
        --kubeconfig "$STATE/kubeconfig/kubelet" --root-dir "$STATE/kubelet" \
        --hostname-override "$NODE_NAME" --node-ip "$NODE_ADDRESS"
}

await_kubelet() {
    await kubelet 60 node_kubectl get node "$NODE_NAME"
    await kubelet 60 node_kubectl wait --for=condition=Ready "node/$NODE_NAME" --timeout=1s
    await kubelet 60 kubelet_has_its_pods
}

# The node's Ready may be the word of a kubelet that was killed; a new one
# refuses logs and exec until it has read its pods from the API.
kubelet_has_its_pods() {
    local assigned known
    assigned=$(node_kubectl get pods --all-namespaces --field-selector "spec.nodeName=$NODE_NAME" --output name | wc -l) &&
        known=$(node_kubectl get --raw "/api/v1/nodes/$NODE_NAME/proxy/pods" | jq '.items | length') &&
        ((known >= assigned))
}

start_kube_proxy() {
    # --conntrack-max-per-core=0: the limit is the machine's, not the namespace's.
    daemon kube-proxy "$(program kube-proxy)" --kubeconfig "$STATE/kubeconfig/kube-proxy" \
        --proxy-mode nftables --hostname-override "$NODE_NAME" --cluster-cidr "$POD_NETWORK" \
        --conntrack-max-per-core 0
}

await_kube_proxy() {
    await kube-proxy 30 in_node bash -c "exec 3<>/dev/tcp/$SERVICE_ADDRESS/443"
}
