# shellcheck shell=bash
# One network namespace is the node's whole network. Entered with nsenter, not
# with `ip netns exec`, which remounts /sys and makes a mount namespace, in which
# the kubelet's mounts would stay.

ensure_network() {
    if [[ ! -e /run/netns/$NETNS ]]; then ip netns add "$NETNS"; fi
    in_node ip link set lo up
    if ! in_node ip link show node0 >/dev/null 2>&1; then
        # A bridge, because dummy links may be missing from the kernel.
        in_node ip link add node0 type bridge
        in_node ip address add "$NODE_ADDRESS/24" dev node0
    fi
    in_node ip link set node0 up
    # Without a default route a Service's address is "network unreachable"
    # before the address translation sees it.
    in_node ip route replace default dev node0
    in_node sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
    printf 'nameserver %s\nsearch svc.cluster.local cluster.local\noptions ndots:5\n' \
        "$NODE_ADDRESS" >"$STATE/resolv.conf"
}

# Point-to-point links instead of a bridge: all pod traffic is routed by the
# node, so a reply always passes the address translation of its Service, also
# where the kernel has no br_netfilter.
write_cni() {
    mkdir -p "$STATE/cni"
    cat >"$STATE/cni/10-pods.conflist" <<END
{
  "cniVersion": "0.4.0",
  "name": "$NETNS",
  "plugins": [
    {
      "type": "ptp",
      "ipMasq": false,
      "mtu": 1500,
      "ipam": {
        "type": "host-local",
        "dataDir": "$STATE/cni-addresses",
        "ranges": [[{"subnet": "$POD_NETWORK"}]],
        "routes": [{"dst": "0.0.0.0/0"}]
      }
    },
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}
END
}
