//! Envoy's own files (bootstrap, clusters, listener) and the commands around its process.
//!
//! In: where the services listen, and where Envoy finds its files. Out: file contents and argument
//! lists. No key ever gets here: the listener takes its routes from the secret file.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    ADMIN_PORT, Address, CONFIG_DIR, DRAIN_SECONDS, PORT, READY_PATH, ROUTES_FILE, SECRET_DIR, Upstream, Upstreams,
    filters,
};

/// Where Envoy reads and listens. The default is that of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    pub config_dir: String,
    pub secret_dir: String,
    /// The address of the public port; the admin port is always on loopback.
    pub address: String,
    pub port: u16,
    pub admin_port: u16,
    pub drain_seconds: u16,
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            config_dir: CONFIG_DIR.to_owned(),
            secret_dir: SECRET_DIR.to_owned(),
            address: "0.0.0.0".to_owned(),
            port: PORT,
            admin_port: ADMIN_PORT,
            drain_seconds: DRAIN_SECONDS,
        }
    }
}

/// The plain files, by name, for a `ConfigMap` mounted at [`CONFIG_DIR`]. No secret in them.
pub fn files(upstreams: &Upstreams) -> BTreeMap<&'static str, String> {
    Layout::default().files(upstreams)
}

/// The arguments of the `envoy` program.
pub fn args() -> Vec<String> {
    Layout::default().args()
}

/// The `preStop` exec command of the pod: without it Envoy cuts every request at SIGTERM.
pub fn drain_command() -> Vec<String> {
    Layout::default().drain_command()
}

impl Layout {
    pub fn files(&self, upstreams: &Upstreams) -> BTreeMap<&'static str, String> {
        let clusters: Vec<Value> = upstreams.iter().map(|(upstream, address)| cluster(*upstream, address)).collect();
        BTreeMap::from([
            ("bootstrap.json", text(&self.bootstrap())),
            ("cds.json", text(&json!({"resources": clusters}))),
            ("lds.json", text(&json!({"resources": [self.listener()]}))),
        ])
    }

    pub fn args(&self) -> Vec<String> {
        let bootstrap = format!("{}/bootstrap.json", self.config_dir);
        let drain = self.drain_seconds.to_string();
        [
            "-c",
            &bootstrap,
            // A listener that changed lets go of its old connections after this time.
            "--drain-time-s",
            &drain,
            // Everybody is told to reconnect at once instead of gradually.
            "--drain-strategy",
            "immediate",
            // A field that this Envoy does not know is a protection that it does not apply.
            "--reject-unknown-dynamic-fields",
            // Pods share no memory with their successor.
            "--disable-hot-restart",
            // The default is one worker for each CPU of the node, whatever the pod's limit.
            "--concurrency",
            "2",
            "--log-level",
            "warning",
        ]
        .map(str::to_owned)
        .to_vec()
    }

    /// Tells Envoy to ask every client to reconnect, then waits while requests finish and the
    /// Service forgets the pod.
    pub fn drain_command(&self) -> Vec<String> {
        let script = include_str!("drain.sh");
        let (port, limit) = (self.admin_port.to_string(), self.drain_seconds.to_string());
        ["/bin/bash", "-c", script, "drain", &port, &limit].map(str::to_owned).to_vec()
    }

    fn bootstrap(&self) -> Value {
        let from = |file: &str| {
            let path = format!("{}/{file}", self.config_dir);
            json!({"path_config_source": watched(&path, &self.config_dir), "resource_api_version": "V3"})
        };
        json!({
            "node": {"id": "gateway", "cluster": "gateway"},
            "admin": {"address": socket("127.0.0.1", self.admin_port)},
            "dynamic_resources": {"cds_config": from("cds.json"), "lds_config": from("lds.json")},
            "overload_manager": {"resource_monitors": [{
                "name": "envoy.resource_monitors.global_downstream_max_connections",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.resource_monitors.\
                              downstream_connections.v3.DownstreamConnectionsConfig",
                    "max_active_downstream_connections": "30000",
                },
            }]},
        })
    }

    fn listener(&self) -> Value {
        json!({
            "@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
            "name": "public",
            "address": socket(&self.address, self.port),
            "filter_chains": [{"filters": [{
                "name": "envoy.filters.network.http_connection_manager",
                "typed_config": self.connection_manager(),
            }]}],
        })
    }

    fn connection_manager(&self) -> Value {
        let routes = format!("{}/{ROUTES_FILE}", self.secret_dir);
        json!({
            "@type": "type.googleapis.com/envoy.extensions.filters.network.\
                      http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "public",
            "rds": {
                "route_config_name": "routes",
                "config_source": {
                    "path_config_source": watched(&routes, &self.secret_dir),
                    "resource_api_version": "V3",
                },
            },
            // A path means the same to the route table and to the service behind it.
            "normalize_path": true,
            "merge_slashes": true,
            "path_with_escaped_slashes_action": "REJECT_REQUEST",
            "common_http_protocol_options": {"headers_with_underscores_action": "REJECT_REQUEST"},
            "use_remote_address": true,
            "upgrade_configs": [{"upgrade_type": "websocket"}],
            "request_headers_timeout": "30s",
            "access_log": [access_log()],
            "local_reply_config": outages(),
            "http_filters": filters::chain(),
        })
    }
}

fn text(value: &Value) -> String {
    format!("{value:#}\n")
}

fn socket(address: &str, port: u16) -> Value {
    json!({"socket_address": {"address": address, "port_value": port}})
}

/// The kubelet swaps a symlink in the mounted directory; a watch on the file would miss it.
fn watched(path: &str, directory: &str) -> Value {
    json!({"path": path, "watched_directory": {"path": directory}})
}

fn cluster(upstream: Upstream, address: &Address) -> Value {
    let name = upstream.cluster();
    json!({
        "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        "name": name,
        "connect_timeout": "5s",
        // Every address of the name is an endpoint, so a headless Service is balanced as well.
        "cluster_type": {
            "name": "envoy.cluster.dns",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.clusters.dns.v3.DnsCluster",
                "respect_dns_ttl": true,
                "dns_lookup_family": "V4_PREFERRED",
                // A Service that appears later than the gateway is found within seconds.
                "dns_failure_refresh_rate": {"base_interval": "1s", "max_interval": "5s"},
            },
        },
        "circuit_breakers": {"thresholds": [{
            "max_connections": 10000,
            "max_pending_requests": 10000,
            "max_requests": 10000,
            "max_retries": 100,
        }]},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http_protocol_options": {}},
                // Node closes idle connections after 5 s. Whoever closes first cannot be
                // surprised by a request on its way.
                "common_http_protocol_options": {"idle_timeout": "4s"},
            },
        },
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [
                {"endpoint": {"address": socket(&address.host, address.port)}},
            ]}],
        },
    })
}

/// Refusals of the gateway itself in the form that clients parse.
fn outages() -> Value {
    let flags = ["UF", "UH", "UO", "UC", "UR", "UT", "URX", "LR", "NC"];
    json!({"mappers": [{
        "filter": {"response_flag_filter": {"flags": flags}},
        "body_format_override": {"json_format": {"message": "The service does not answer"}},
    }]})
}

/// One JSON line for each request but the kubelet's. Query strings and `Authorization` are left
/// out: both carry keys.
fn access_log() -> Value {
    json!({
        "name": "envoy.access_loggers.stdout",
        "filter": {"header_filter": {"header": {
            "name": ":path",
            "string_match": {"exact": READY_PATH},
            "invert_match": true,
        }}},
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
            "log_format": {
                "formatters": [{
                    "name": "envoy.formatter.req_without_query",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.formatter.\
                                  req_without_query.v3.ReqWithoutQuery",
                    },
                }],
                "json_format": {
                    "time": "%START_TIME%",
                    "method": "%REQ(:METHOD)%",
                    "path": "%REQ_WITHOUT_QUERY(X-ENVOY-ORIGINAL-PATH?:PATH)%",
                    "status": "%RESPONSE_CODE%",
                    "flags": "%RESPONSE_FLAGS%",
                    "upstream": "%UPSTREAM_CLUSTER%",
                    "role": "%DYNAMIC_METADATA(supabase.gateway:role)%",
                    "client": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
                    "user_agent": "%REQ(USER-AGENT)%",
                    "duration_ms": "%DURATION%",
                    "bytes_received": "%BYTES_RECEIVED%",
                    "bytes_sent": "%BYTES_SENT%",
                    "request_id": "%REQ(X-REQUEST-ID)%",
                },
            },
        },
    })
}
