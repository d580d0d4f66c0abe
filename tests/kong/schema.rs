//! Which entities and fields Kong 3.9 knows, as far as a gateway needs them (`kong/db/schema/entities`, `schema.lua` of
//! each plugin). Kong refuses a file with any other field, with a wrong type, or with a plugin that it did not load.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::router::Expression;

enum Kind {
    Text,
    /// Letters, digits and `.-_~`.
    Name,
    Url,
    Whole(i64, i64),
    Flag,
    Expression,
    OneOf(&'static [&'static str]),
    ListOf(&'static Kind),
    Lua,
    Entities(&'static [Field]),
    Plugins,
    /// Checked by the plugin's name.
    Config,
}

/// Name, what it holds, whether it must be there.
type Field = (&'static str, Kind, bool);

const MILLISECONDS: Kind = Kind::Whole(1, 2_147_483_646);
const PROTOCOLS: Kind = Kind::ListOf(&Kind::OneOf(&["grpc", "grpcs", "http", "https"]));
const PROGRAMS: Kind = Kind::ListOf(&Kind::Lua);
const TAGS: Field = ("tags", Kind::ListOf(&Kind::Text), false);

const FILE: &[Field] = &[
    ("_format_version", Kind::OneOf(&["1.1", "2.1", "3.0"]), true),
    ("_transform", Kind::Flag, false),
    ("consumers", Kind::Entities(CONSUMER), false),
    ("services", Kind::Entities(SERVICE), false),
    ("routes", Kind::Entities(ROUTE), false),
    ("plugins", Kind::Plugins, false),
];

const CONSUMER: &[Field] = &[
    ("username", Kind::Text, true),
    ("custom_id", Kind::Text, false),
    ("basicauth_credentials", Kind::Entities(BASIC_AUTH_CREDENTIAL), false),
    TAGS,
];

const BASIC_AUTH_CREDENTIAL: &[Field] = &[("username", Kind::Text, true), ("password", Kind::Text, true), TAGS];

const SERVICE: &[Field] = &[
    ("name", Kind::Name, true),
    ("url", Kind::Url, true),
    ("retries", Kind::Whole(0, 32767), false),
    ("connect_timeout", MILLISECONDS, false),
    ("read_timeout", MILLISECONDS, false),
    ("write_timeout", MILLISECONDS, false),
    ("enabled", Kind::Flag, false),
    TAGS,
];

const ROUTE: &[Field] = &[
    ("name", Kind::Name, true),
    ("expression", Kind::Expression, true),
    ("priority", Kind::Whole(0, (1 << 46) - 1), true),
    ("protocols", PROTOCOLS, false),
    ("service", Kind::Name, false),
    ("strip_path", Kind::Flag, false),
    ("preserve_host", Kind::Flag, false),
    ("request_buffering", Kind::Flag, false),
    ("response_buffering", Kind::Flag, false),
    ("plugins", Kind::Plugins, false),
    TAGS,
];

const PLUGIN: &[Field] = &[
    ("name", Kind::Name, true),
    ("config", Kind::Config, false),
    ("enabled", Kind::Flag, false),
    ("protocols", PROTOCOLS, false),
    TAGS,
];

const METHODS: &[&str] = &["GET", "HEAD", "PUT", "PATCH", "POST", "DELETE", "OPTIONS", "TRACE", "CONNECT"];

const CORS: &[Field] = &[
    // Kong takes regular expressions too.
    ("origins", Kind::ListOf(&Kind::OneOf(&["*"])), false),
    ("headers", Kind::ListOf(&Kind::Text), false),
    ("exposed_headers", Kind::ListOf(&Kind::Text), false),
    ("methods", Kind::ListOf(&Kind::OneOf(METHODS)), false),
    ("max_age", Kind::Whole(0, i64::MAX), false),
    ("credentials", Kind::Flag, false),
    ("private_network", Kind::Flag, false),
    ("preflight_continue", Kind::Flag, false),
];

const BASIC_AUTH: &[Field] =
    &[("anonymous", Kind::Text, false), ("hide_credentials", Kind::Flag, false), ("realm", Kind::Text, false)];

const REQUEST_TERMINATION: &[Field] = &[
    ("status_code", Kind::Whole(100, 599), false),
    ("message", Kind::Text, false),
    ("content_type", Kind::Text, false),
    ("body", Kind::Text, false),
    ("echo", Kind::Flag, false),
    ("trigger", Kind::Text, false),
];

const FUNCTION: &[Field] = &[
    ("certificate", PROGRAMS, false),
    ("rewrite", PROGRAMS, false),
    ("access", PROGRAMS, false),
    ("header_filter", PROGRAMS, false),
    ("body_filter", PROGRAMS, false),
    ("log", PROGRAMS, false),
];

/// Everything that Kong would refuse in the file.
pub fn problems(file: &Value, loaded: &BTreeSet<&str>) -> Vec<String> {
    let mut check = Check { loaded, problems: Vec::new() };
    check.record("file", file, FILE);
    for (entities, unique) in [("consumers", "username"), ("services", "name"), ("routes", "name")] {
        let mut seen = BTreeSet::new();
        for entity in list(&file[entities]) {
            if !seen.insert(entity[unique].as_str()) {
                check.problem(entities, &format!("{} is there twice", entity[unique]));
            }
        }
    }
    let services: BTreeSet<_> = list(&file["services"]).map(|service| service["name"].as_str()).collect();
    for route in list(&file["routes"]) {
        if !route["service"].is_null() && !services.contains(&route["service"].as_str()) {
            check.problem("routes", &format!("there is no service {}", route["service"]));
        }
    }
    check.problems
}

pub fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

struct Check<'a> {
    loaded: &'a BTreeSet<&'a str>,
    problems: Vec<String>,
}

impl Check<'_> {
    fn problem(&mut self, at: &str, problem: &str) {
        self.problems.push(format!("{at}: {problem}"));
    }

    fn record(&mut self, at: &str, value: &Value, fields: &[Field]) {
        let Some(object) = value.as_object() else { return self.problem(at, "is no object") };
        for name in object.keys().filter(|name| !fields.iter().any(|field| field.0 == name.as_str())) {
            self.problem(at, &format!("unknown field {name}"));
        }
        for (name, kind, required) in fields {
            match object.get(*name) {
                // Null is Kong's word for a field that is not set.
                None | Some(Value::Null) if *required => self.problem(at, &format!("{name} is missing")),
                None | Some(Value::Null) => {}
                Some(value) => self.value(&format!("{at}.{name}"), value, kind, object),
            }
        }
    }

    fn value(&mut self, at: &str, value: &Value, kind: &Kind, owner: &Map<String, Value>) {
        // Kong takes an empty string for no value.
        let text = value.as_str().filter(|text| !text.is_empty());
        let name = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_~".contains(&byte));
        let verdict = match kind {
            Kind::Text => text.is_some(),
            Kind::Name => text.is_some_and(name),
            Kind::Url => text.is_some_and(is_url),
            Kind::Whole(least, most) => value.as_i64().is_some_and(|number| (*least..=*most).contains(&number)),
            Kind::Flag => value.is_boolean(),
            Kind::OneOf(words) => text.is_some_and(|text| words.contains(&text)),
            Kind::Expression => match text.map(Expression::parse) {
                Some(Err(error)) => return self.problem(at, &error),
                parsed => parsed.is_some(),
            },
            Kind::Lua => match text.map(|text| mlua::Lua::new().load(text).into_function().map(drop)) {
                Some(Err(error)) => return self.problem(at, &error.to_string()),
                parsed => parsed.is_some(),
            },
            Kind::ListOf(kind) => {
                list(value).for_each(|element| self.value(at, element, kind, owner));
                value.is_array()
            }
            Kind::Entities(fields) => {
                list(value).for_each(|entity| self.record(at, entity, fields));
                value.is_array()
            }
            Kind::Plugins => {
                list(value).for_each(|plugin| self.plugin(at, plugin));
                value.is_array()
            }
            Kind::Config => return self.config(at, value, owner),
        };
        if !verdict {
            self.problem(at, &format!("cannot be {value}"));
        }
    }

    fn plugin(&mut self, at: &str, plugin: &Value) {
        let name = plugin["name"].as_str().unwrap_or_default();
        if !self.loaded.contains(name) {
            self.problem(at, &format!("plugin {name} is not enabled"));
        }
        self.record(&format!("{at}[{name}]"), plugin, PLUGIN);
    }

    fn config(&mut self, at: &str, config: &Value, plugin: &Map<String, Value>) {
        let is_set = |name: &str| !config[name].is_null();
        let fields = match plugin.get("name").and_then(Value::as_str).unwrap_or_default() {
            "cors" => CORS,
            "basic-auth" => BASIC_AUTH,
            "request-termination" => {
                if is_set("message") && (is_set("body") || is_set("content_type")) {
                    self.problem(at, "message cannot be used with content_type or body");
                }
                if is_set("content_type") && !is_set("body") {
                    self.problem(at, "content_type requires a body");
                }
                REQUEST_TERMINATION
            }
            "pre-function" | "post-function" => {
                if !FUNCTION.iter().any(|(phase, ..)| list(&config[*phase]).next().is_some()) {
                    self.problem(at, "at least one phase must be set");
                }
                FUNCTION
            }
            other => return self.problem(at, &format!("the test does not know the plugin {other}")),
        };
        self.record(at, config, fields);
    }
}

fn is_url(text: &str) -> bool {
    let port = text.strip_prefix("http://").and_then(|rest| rest.rsplit_once(':'));
    port.is_some_and(|(host, port)| !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok())
}
