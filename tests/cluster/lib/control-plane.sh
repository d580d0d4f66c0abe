# shellcheck shell=bash
# etcd, kube-apiserver, kube-controller-manager and kube-scheduler.

start_etcd() {
    # --unsafe-no-fsync: a test cluster need not survive a power cut, and its
    # writes need not wait for the disk.
    daemon etcd "$(program etcd)" --data-dir "$STATE/etcd" --unsafe-no-fsync \
        --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
        --listen-peer-urls http://127.0.0.1:2380 --log-level warn
}

# Every request once, when it is answered: tests count the calls of a service
# account in this log.
write_audit_policy() {
    cat >"$STATE/audit-policy.yaml" <<'END'
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
- level: Metadata
END
}

start_apiserver() {
    write_audit_policy
    # --kubelet-preferred-address-types: else logs and exec look the node's name
    # up in DNS.
    daemon kube-apiserver "$(program kube-apiserver)" \
        --etcd-servers http://127.0.0.1:2379 \
        --advertise-address "$NODE_ADDRESS" --secure-port 6443 \
        --service-cluster-ip-range "$SERVICE_NETWORK" \
        --tls-cert-file "$PKI/apiserver.crt" --tls-private-key-file "$PKI/apiserver.key" \
        --client-ca-file "$PKI/ca.crt" \
        --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction \
        --allow-privileged=true \
        --service-account-issuer https://kubernetes.default.svc \
        --service-account-key-file "$PKI/service-account.pub" \
        --service-account-signing-key-file "$PKI/service-account.key" \
        --kubelet-client-certificate "$PKI/apiserver-kubelet.crt" \
        --kubelet-client-key "$PKI/apiserver-kubelet.key" \
        --kubelet-certificate-authority "$PKI/ca.crt" \
        --kubelet-preferred-address-types InternalIP \
        --requestheader-client-ca-file "$PKI/front-proxy-ca.crt" \
        --requestheader-allowed-names front-proxy \
        --requestheader-username-headers X-Remote-User \
        --requestheader-group-headers X-Remote-Group \
        --requestheader-extra-headers-prefix X-Remote-Extra- \
        --proxy-client-cert-file "$PKI/front-proxy.crt" --proxy-client-key-file "$PKI/front-proxy.key" \
        --audit-policy-file "$STATE/audit-policy.yaml" \
        --audit-log-path "$STATE/audit.log" --audit-log-maxsize 2000
}

start_controllers() {
    daemon kube-controller-manager "$(program kube-controller-manager)" \
        --kubeconfig "$STATE/kubeconfig/controller-manager" \
        --authentication-kubeconfig "$STATE/kubeconfig/controller-manager" \
        --authorization-kubeconfig "$STATE/kubeconfig/controller-manager" \
        --service-account-private-key-file "$PKI/service-account.key" --root-ca-file "$PKI/ca.crt" \
        --cluster-signing-cert-file "$PKI/ca.crt" --cluster-signing-key-file "$PKI/ca.key" \
        --service-cluster-ip-range "$SERVICE_NETWORK" --cluster-cidr "$POD_NETWORK" \
        --use-service-account-credentials --leader-elect=false
    daemon kube-scheduler "$(program kube-scheduler)" \
        --kubeconfig "$STATE/kubeconfig/scheduler" \
        --authentication-kubeconfig "$STATE/kubeconfig/scheduler" \
        --authorization-kubeconfig "$STATE/kubeconfig/scheduler" \
        --leader-elect=false
}

ensure_control_plane() {
    step etcd
    start_etcd
    await etcd 30 in_node bash -c 'exec 3<>/dev/tcp/127.0.0.1/2379'
    step_done ready
    step "kube-apiserver $KUBERNETES_VERSION"
    start_apiserver
    await kube-apiserver 60 node_kubectl get --raw /readyz
    step_done ready
}

# The default account: without it the first pods of a namespace are refused.
await_controllers() {
    await kube-controller-manager 60 node_kubectl get serviceaccount default --namespace default
}
