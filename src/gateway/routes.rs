//! The route table: which public path leads to which service, and who may pass.
//!
//! In: the project's name and public URL. Out: the table. Order is meaning: the first match wins,
//! and a narrow row stands before the wide one that it restricts. Nothing is reachable that is not
//! listed. It knows nothing of Envoy.

use super::Upstream;

/// Who may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anyone; the service decides by itself.
    Open,
    /// Holders of any of the project's keys.
    Key,
    /// Holders of a secret or service key. Only `apikey` counts: a service token in
    /// `Authorization` beside an anon key is refused.
    Service,
    /// The dashboard user, by basic authentication.
    Dashboard,
    /// Nobody, always 403.
    Nobody,
}

/// How keys are translated on the way to the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Translation {
    /// Not at all.
    None,
    /// Into `Authorization`, unless the request brings a user's token.
    Jwt,
    /// As `Jwt`, and into `x-api-key` and `?apikey=`.
    Realtime,
    /// Into `sb-api-key`; `Authorization` stays as it came.
    Functions,
}

/// Which paths a route takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    /// This path only.
    Exact(String),
    /// Everything that starts so, also in the middle of a segment.
    Prefix(String),
    /// This path and everything below it.
    Segment(String),
}

/// How long a request may take, in seconds; 0 is without limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From the end of the request to the end of the response.
    pub total: u32,
    /// Without a byte in either direction.
    pub idle: u32,
}

/// One row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub path: Match,
    pub upstream: Upstream,
    /// What the service sees in place of the matched part of the path.
    pub rewrite: Option<&'static str>,
    pub access: Access,
    pub translation: Translation,
    pub timeouts: Timeouts,
    /// Headers set on the request, whatever the client sent.
    pub headers: Vec<(&'static str, String)>,
    /// What the service sees as Host; `None` keeps the client's.
    pub host: Option<String>,
    /// Whether browsers of other origins may call it.
    pub cors: bool,
}

const GENERIC: Timeouts = Timeouts { total: 30, idle: 300 };
/// Websockets live long, and so do uploads.
const UNLIMITED: Timeouts = Timeouts { total: 0, idle: 0 };
/// Above the runtime's own limits (400 s of wall clock, 150 s idle), so that the runtime ends a
/// function and says why.
const FUNCTION: Timeouts = Timeouts { total: 410, idle: 160 };

impl Route {
    fn new(path: Match, upstream: Upstream, access: Access) -> Self {
        Self {
            path,
            upstream,
            rewrite: None,
            access,
            translation: Translation::None,
            timeouts: GENERIC,
            headers: Vec::new(),
            host: None,
            cors: true,
        }
    }

    fn prefix(path: &str, upstream: Upstream, access: Access) -> Self {
        Self::new(Match::Prefix(path.to_owned()), upstream, access)
    }

    fn segment(path: &str, upstream: Upstream, access: Access) -> Self {
        Self::new(Match::Segment(path.to_owned()), upstream, access)
    }

    fn exact(path: impl Into<String>, upstream: Upstream, access: Access) -> Self {
        Self::new(Match::Exact(path.into()), upstream, access)
    }

    fn to(mut self, rewrite: &'static str) -> Self {
        self.rewrite = Some(rewrite);
        self
    }

    fn translate(mut self, translation: Translation) -> Self {
        self.translation = translation;
        self
    }

    fn within(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    fn host(mut self, host: &str) -> Self {
        self.host = Some(host.to_owned());
        self
    }

    fn same_origin(mut self) -> Self {
        self.cors = false;
        self
    }
}

/// The table of a project. `project` is Realtime's tenant id, `public_url` what browsers use.
pub fn routes(project: &str, public_url: &str) -> Vec<Route> {
    let origin = Origin::of(public_url);
    let mut table = auth(&origin);
    table.extend(data());
    table.extend(realtime(project));
    table.extend(rest_of_api());
    table.extend(studio());
    origin.sign(table)
}

fn auth(origin: &Origin<'_>) -> Vec<Route> {
    use Access::{Key, Open};
    use Upstream::Auth;
    // RFC 8414: the well-known part stands before the path of the issuer, <public URL>/auth/v1.
    let metadata = format!("/.well-known/oauth-authorization-server{}/auth/v1", origin.path);
    vec![
        // Browsers open these without a key: links in mails, returns from other sites.
        Route::segment("/auth/v1/verify", Auth, Open).to("/verify"),
        Route::segment("/auth/v1/callback", Auth, Open).to("/callback"),
        Route::segment("/auth/v1/authorize", Auth, Open).to("/authorize"),
        Route::exact("/auth/v1/.well-known/jwks.json", Auth, Open).to("/.well-known/jwks.json"),
        Route::exact(metadata, Auth, Open).to("/.well-known/oauth-authorization-server"),
        Route::segment("/auth/v1/sso/saml/acs", Auth, Open).to("/sso/saml/acs"),
        Route::segment("/auth/v1/sso/saml/metadata", Auth, Open).to("/sso/saml/metadata"),
        Route::prefix("/auth/v1/", Auth, Key).to("/").translate(Translation::Jwt),
    ]
}

/// What clients of Auth's own OAuth server ask without a key, where a project has one. These come before the table.
pub fn oauth_server_routes(public_url: &str) -> Vec<Route> {
    use Access::Open;
    use Upstream::Auth;
    let discovery = "/auth/v1/.well-known/openid-configuration";
    let table = vec![
        Route::segment("/auth/v1/oauth/authorize", Auth, Open).to("/oauth/authorize"),
        Route::segment("/auth/v1/oauth/token", Auth, Open).to("/oauth/token"),
        Route::segment("/auth/v1/oauth/userinfo", Auth, Open).to("/oauth/userinfo"),
        Route::exact(discovery, Auth, Open).to("/.well-known/openid-configuration"),
    ];
    Origin::of(public_url).sign(table)
}

fn data() -> Vec<Route> {
    use Access::{Key, Service};
    use Upstream::Rest;
    vec![
        // The root describes the whole schema.
        Route::exact("/rest/v1", Rest, Service).to("/").translate(Translation::Jwt),
        Route::exact("/rest/v1/", Rest, Service).to("/").translate(Translation::Jwt),
        Route::prefix("/rest/v1/", Rest, Key).to("/").translate(Translation::Jwt),
        Route::segment("/graphql/v1", Rest, Key)
            .to("/rpc/graphql")
            .translate(Translation::Jwt)
            .header("content-profile", "graphql_public"),
    ]
}

fn realtime(project: &str) -> Vec<Route> {
    use Access::{Key, Nobody};
    use Upstream::Realtime;
    // Realtime takes the first label of Host as the tenant.
    let tenant = format!("{project}.realtime");
    vec![
        // Tenant administration: with it any key holder owns the server.
        // https://github.com/supabase/supabase/pull/46856
        Route::prefix("/realtime/v1/api/openapi", Realtime, Nobody),
        Route::prefix("/realtime/v1/api/tenants", Realtime, Nobody),
        Route::segment("/realtime/v1/api/broadcast", Realtime, Key)
            .to("/api/broadcast")
            .translate(Translation::Realtime)
            .within(UNLIMITED)
            .host(&tenant),
        // What a later Realtime adds to its API stays closed until someone looked at it.
        Route::prefix("/realtime/v1/api", Realtime, Nobody),
        Route::prefix("/realtime/v1/", Realtime, Key)
            .to("/socket/")
            .translate(Translation::Realtime)
            .within(UNLIMITED)
            .host(&tenant),
    ]
}

fn rest_of_api() -> Vec<Route> {
    use Access::{Open, Service};
    vec![
        // Clients of the S3 protocol carry a signature and no key: Storage decides.
        Route::prefix("/storage/v1/", Upstream::Storage, Open)
            .to("/")
            .translate(Translation::Jwt)
            .within(UNLIMITED)
            .header("x-forwarded-prefix", "/storage/v1"),
        Route::prefix("/functions/v1/", Upstream::Functions, Open)
            .to("/")
            .translate(Translation::Functions)
            .within(FUNCTION),
        // Arbitrary SQL. A secret key has no business in a browser.
        Route::prefix("/pg/", Upstream::Meta, Service).to("/").same_origin(),
    ]
}

fn studio() -> Vec<Route> {
    use Access::{Dashboard, Nobody};
    use Upstream::Studio;
    vec![
        // The MCP server has no authentication of its own.
        Route::prefix("/api/mcp", Studio, Nobody),
        Route::prefix("/mcp", Studio, Nobody),
        Route::prefix("/", Studio, Dashboard).same_origin(),
    ]
}

/// The parts of the public URL that services need to build links.
struct Origin<'a> {
    scheme: &'static str,
    port: &'a str,
    path: &'a str,
}

impl<'a> Origin<'a> {
    /// Tells every service where browsers believe to be.
    fn sign(&self, mut table: Vec<Route>) -> Vec<Route> {
        for route in &mut table {
            route.headers.push(("x-forwarded-proto", self.scheme.to_owned()));
            route.headers.push(("x-forwarded-port", self.port.to_owned()));
        }
        table
    }

    /// Lenient: an odd URL yields plain `http` on port 80, never an error; the API's own validation
    /// is the place to refuse it.
    fn of(url: &'a str) -> Self {
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let https = scheme.eq_ignore_ascii_case("https");
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let standard = if https { "443" } else { "80" };
        // An IPv6 address has colons inside its brackets only.
        let port = authority
            .rsplit_once(':')
            .map(|(_, port)| port)
            .filter(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
            .unwrap_or(standard);
        Self { scheme: if https { "https" } else { "http" }, port, path: path.trim_end_matches('/') }
    }
}
