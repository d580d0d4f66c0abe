//! Kong's settings, all of them environment variables. No secret is among them.

use std::collections::BTreeMap;

use super::PLUGINS;
use crate::gateway::PORT;

/// Where the Secret with [`KONG_FILE`] is mounted, as a directory. `/etc/kong` has files of the image.
pub const KONG_DIR: &str = "/etc/kong-declarative";
/// The name of the declarative configuration in its Secret. Kong takes the ending for the format.
pub const KONG_FILE: &str = "kong.json";
/// Where Kong writes its nginx configuration, its database and sockets. It must be an empty writable directory: the
/// default one has files of the image.
pub const KONG_PREFIX: &str = "/var/lib/kong";
/// Answers 200 at `/status/ready` once the declarative configuration is loaded. `READY_PATH` of the public port proves
/// more.
pub const KONG_STATUS_PORT: u16 = 8100;

/// One JSON line for each request. nginx's `$request_uri` and `$request` would show keys of the query; `$uri` is that
/// of the error page when a service fails.
const LOG_FORMAT: &str = concat!(
    "gateway escape=json '{\"time\":\"$time_iso8601\",\"method\":\"$request_method\",",
    "\"path\":\"$upstream_x_forwarded_path\",\"status\":\"$status\",\"upstream\":\"$upstream_addr\",",
    "\"upstream_status\":\"$upstream_status\",\"client\":\"$remote_addr\",\"user_agent\":\"$http_user_agent\",",
    "\"duration_s\":\"$request_time\",\"bytes_received\":\"$request_length\",\"bytes_sent\":\"$bytes_sent\",",
    "\"request_id\":\"$kong_request_id\"}'",
);

/// The variables of the container.
pub fn kong_environment() -> BTreeMap<&'static str, String> {
    let fixed = [
        ("KONG_DATABASE", "off"),
        ("KONG_ROUTER_FLAVOR", "expressions"),
        ("KONG_PREFIX", KONG_PREFIX),
        // Whoever reaches the Admin API reads every key.
        ("KONG_ADMIN_LISTEN", "off"),
        ("KONG_ADMIN_GUI_LISTEN", "off"),
        ("KONG_UNTRUSTED_LUA", "sandbox"),
        ("KONG_ANONYMOUS_REPORTS", "off"),
        ("KONG_REQUEST_DEBUG", "off"),
        // No name and version of the gateway in answers.
        ("KONG_HEADERS", "off"),
        // Services have plain addresses: no SRV. One that appears later than the gateway is found within seconds.
        ("KONG_DNS_ORDER", "LAST,A,CNAME"),
        ("KONG_DNS_VALID_TTL", "5"),
        ("KONG_DNS_NOT_FOUND_TTL", "1"),
        // The default is one for each CPU of the node, whatever the pod's limit.
        ("KONG_NGINX_WORKER_PROCESSES", "2"),
        // Auth answers with large cookies and links.
        ("KONG_NGINX_PROXY_PROXY_BUFFER_SIZE", "160k"),
        ("KONG_NGINX_PROXY_PROXY_BUFFERS", "64 160k"),
        // Not after a timeout, which is nginx's default too: a slow read would be asked for again and again.
        ("KONG_NGINX_PROXY_PROXY_NEXT_UPSTREAM", "error"),
        // Node closes idle connections after 5 s. Whoever closes first cannot be surprised by a request on its way.
        ("KONG_UPSTREAM_KEEPALIVE_IDLE_TIMEOUT", "4"),
        ("KONG_NGINX_HTTP_LOG_FORMAT", LOG_FORMAT),
        ("KONG_PROXY_ACCESS_LOG", "/dev/stdout gateway"),
        ("KONG_PROXY_ERROR_LOG", "/dev/stderr"),
        ("KONG_STATUS_ERROR_LOG", "/dev/stderr"),
        // nginx writes whole request lines with their query, and thereby keys, at the level "error".
        ("KONG_LOG_LEVEL", "crit"),
    ];
    let mut variables: BTreeMap<&'static str, String> =
        fixed.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
    variables.insert("KONG_DECLARATIVE_CONFIG", format!("{KONG_DIR}/{KONG_FILE}"));
    variables.insert("KONG_PROXY_LISTEN", format!("0.0.0.0:{PORT}"));
    variables.insert("KONG_STATUS_LISTEN", format!("0.0.0.0:{KONG_STATUS_PORT}"));
    variables.insert("KONG_PLUGINS", PLUGINS.join(","));
    variables
}
