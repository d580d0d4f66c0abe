# shellcheck shell=bash
# The cluster's own certificate authority, certificates and kubeconfigs.

certificate_authority() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 \
        -subj "/CN=$1" -keyout "$PKI/$1.key" -out "$PKI/$1.crt" 2>/dev/null
}

# certificate AUTHORITY FILE SUBJECT USAGE [ALTERNATIVE NAMES]
certificate() {
    local authority=$1 file=$2 subject=$3 usage=$4 names=${5:-}
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
        -subj "$subject" -keyout "$PKI/$file.key" -out "$PKI/$file.csr" 2>/dev/null
    openssl x509 -req -in "$PKI/$file.csr" -days 3650 -CA "$PKI/$authority.crt" -CAkey "$PKI/$authority.key" \
        -CAcreateserial -out "$PKI/$file.crt" -extfile <(
            echo "basicConstraints=CA:FALSE"
            echo "keyUsage=digitalSignature"
            echo "extendedKeyUsage=$usage"
            [[ -z $names ]] || echo "subjectAltName=$names"
        ) 2>/dev/null
    rm "$PKI/$file.csr"
}

# client NAME SUBJECT: a client certificate and a kubeconfig that uses it.
client() {
    certificate ca "$1" "$2" clientAuth
    cat >"$STATE/kubeconfig/$1" <<END
apiVersion: v1
kind: Config
current-context: $CLUSTER
clusters:
- name: $CLUSTER
  cluster:
    server: $API
    certificate-authority-data: $(base64 -w0 "$PKI/ca.crt")
users:
- name: $1
  user:
    client-certificate-data: $(base64 -w0 "$PKI/$1.crt")
    client-key-data: $(base64 -w0 "$PKI/$1.key")
contexts:
- name: $CLUSTER
  context: {cluster: $CLUSTER, user: $1}
END
}

ensure_certificates() {
    [[ ! -e $PKI/complete ]] || return 0
    mkdir -p "$PKI" "$STATE/kubeconfig"
    chmod 700 "$PKI" "$STATE/kubeconfig"
    certificate_authority ca
    certificate_authority front-proxy-ca
    certificate ca apiserver /CN=kube-apiserver serverAuth \
        "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,DNS:localhost,IP:127.0.0.1,IP:$NODE_ADDRESS,IP:$SERVICE_ADDRESS"
    certificate ca kubelet-server "/CN=$NODE_NAME" serverAuth "DNS:$NODE_NAME,IP:$NODE_ADDRESS,IP:127.0.0.1"
    certificate ca apiserver-kubelet /O=system:masters/CN=kube-apiserver clientAuth
    certificate front-proxy-ca front-proxy /CN=front-proxy clientAuth
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:prime256v1 -out "$PKI/service-account.key" 2>/dev/null
    openssl pkey -in "$PKI/service-account.key" -pubout -out "$PKI/service-account.pub"
    client admin /O=system:masters/CN=admin
    client controller-manager /CN=system:kube-controller-manager
    client scheduler /CN=system:kube-scheduler
    client kube-proxy /CN=system:kube-proxy
    client kubelet "/O=system:nodes/CN=system:node:$NODE_NAME"
    client coredns /CN=cluster:coredns
    client storage /CN=cluster:storage
    touch "$PKI/complete"
}
