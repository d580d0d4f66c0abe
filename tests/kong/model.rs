//! A strict model of Kong 3.9: routing, the plugins in the order of their priorities, and what nginx sends to the
//! service. The Lua of the file runs in a real Lua interpreter (`pdk.lua`). Kong: `kong/runloop/handler.lua`, `kong/init.lua`,
//! `kong/templates/nginx_kong.lua`, `handler.lua` of each plugin.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mlua::{Function, Lua, Table};
use serde_json::{Value, json};

use super::router::{Expression, escape, normalize};
use super::schema::{self, list};

type Headers = BTreeMap<String, Vec<String>>;

/// By their priorities: 1000000, 2000, 1100, 2, -1000.
const ORDER: [&str; 5] = ["pre-function", "cors", "basic-auth", "request-termination", "post-function"];

pub struct Kong {
    file: Value,
    lua: Lua,
    pdk: Table,
    programs: RefCell<BTreeMap<String, Function>>,
}

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: String,
    /// What the service saw: `service`, `target`, `headers`.
    pub seen: Value,
    /// Why Lua failed.
    pub problem: Option<String>,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub fn message(&self) -> String {
        let body: Value = serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"));
        body["message"].as_str().unwrap_or_else(|| panic!("{self:?}")).to_owned()
    }
}

/// A request on its way through the plugins.
struct Passage<'a> {
    kong: &'a Kong,
    method: &'a str,
    route: &'a Value,
    request: Table,
    exit: Option<(u16, String, BTreeMap<String, String>)>,
    preflight: bool,
}

impl Kong {
    /// Starts on a file, as Kong does with these variables; the problems for which it would not.
    pub fn start(file: &str, environment: &BTreeMap<&'static str, String>) -> Result<Self, Vec<String>> {
        let file: Value = serde_json::from_str(file).map_err(|error| vec![error.to_string()])?;
        let loaded: BTreeSet<&str> = environment["KONG_PLUGINS"].split(',').collect();
        let problems = schema::problems(&file, &loaded);
        if !problems.is_empty() {
            return Err(problems);
        }
        let lua = Lua::new();
        let pdk = lua.load(include_str!("pdk.lua")).eval().unwrap();
        Ok(Self { file, lua, pdk, programs: RefCell::default() })
    }

    pub fn get(&self, target: &str, headers: &[(&str, &str)]) -> Reply {
        self.send("GET", target, headers)
    }

    pub fn send(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Reply {
        let (raw_path, args) = target.split_once('?').map_or((target, None), |(path, args)| (path, Some(args)));
        let path = normalize(raw_path);
        let Some(route) = self.route(&path) else {
            return Reply {
                status: 404,
                headers: BTreeMap::new(),
                body: json!({"message": "no Route matched with those values"}).to_string(),
                seen: Value::Null,
                problem: None,
            };
        };
        let request = self.lua.create_table().unwrap();
        request.set("raw_path", raw_path).unwrap();
        request.set("path", self.lua.create_string(&path).unwrap()).unwrap();
        request.set("upstream_path", self.lua.create_string(&path).unwrap()).unwrap();
        request.set("args", args).unwrap();
        request.set("headers", self.headers(headers)).unwrap();
        request.set("vars", self.lua.create_table().unwrap()).unwrap();
        let lua_route = self.lua.create_table().unwrap();
        lua_route.set("name", route["name"].as_str()).unwrap();
        request.set("route", lua_route).unwrap();
        let mut passage = Passage { kong: self, method, route, request, exit: None, preflight: false };
        passage.run(target.ends_with('?'))
    }

    /// The matching route of the highest priority. Two of the same would be taken in any order.
    fn route(&self, path: &[u8]) -> Option<&Value> {
        let path = std::str::from_utf8(path).ok()?;
        let matches = |route: &&Value| Expression::parse(route["expression"].as_str().unwrap()).unwrap().matches(path);
        list(&self.file["routes"]).filter(matches).max_by_key(|route| route["priority"].as_u64())
    }

    /// As `ngx.req.get_headers` has them: lower case, a table for what is repeated.
    fn headers(&self, sent: &[(&str, &str)]) -> Table {
        let mut headers = Headers::from([("host".to_owned(), vec!["client.example".to_owned()])]);
        for (name, value) in sent {
            headers.entry(name.to_lowercase()).or_default().push((*value).to_owned());
        }
        let table = self.lua.create_table().unwrap();
        for (name, mut values) in headers {
            match values.len() {
                1 => table.set(name, values.remove(0)).unwrap(),
                _ => table.set(name, values).unwrap(),
            }
        }
        table
    }

    /// A plugin's program is compiled once for all requests.
    fn program(&self, source: &str) -> Function {
        let mut programs = self.programs.borrow_mut();
        let compile = || self.pdk.get::<Function>("compile").unwrap().call(source).unwrap();
        programs.entry(source.to_owned()).or_insert_with(compile).clone()
    }

    fn credential(&self, username: &str, password: &str) -> Option<&Value> {
        list(&self.file["consumers"]).find(|consumer| {
            list(&consumer["basicauth_credentials"])
                .any(|known| known["username"] == username && known["password"] == password)
        })
    }
}

impl Passage<'_> {
    /// A plugin of the route stands in for the global one of its name.
    fn plugins(&self) -> Vec<(&'static str, &Value)> {
        ORDER
            .into_iter()
            .filter_map(|name| {
                let local = list(&self.route["plugins"]).find(|plugin| plugin["name"] == name);
                let global = list(&self.kong.file["plugins"]).find(|plugin| plugin["name"] == name);
                Some((name, &local.or(global)?["config"]))
            })
            .collect()
    }

    fn run(&mut self, ends_with_question_mark: bool) -> Reply {
        let plugins: Vec<(&str, Value)> =
            self.plugins().into_iter().map(|(name, config)| (name, config.clone())).collect();
        for (name, config) in &plugins {
            self.access(name, config);
            if self.exit.is_some() {
                break;
            }
        }
        let (seen, (status, body, mut headers)) = if let Some(answer) = self.exit.take() {
            (Value::Null, answer)
        } else {
            // A service that is generous to other origins.
            let headers =
                [("access-control-allow-origin", "https://service"), ("access-control-allow-credentials", "true")]
                    .map(|(name, value)| (name.to_owned(), value.to_owned()));
            (self.proxy(ends_with_question_mark), (200, String::new(), headers.into()))
        };
        for (name, config) in &plugins {
            self.header_filter(name, config, &mut headers);
        }
        Reply { status, headers, body, seen, problem: self.request.get("problem").unwrap() }
    }

    fn header(&self, name: &str) -> Option<String> {
        let headers: Table = self.request.get("headers").unwrap();
        match headers.get::<mlua::Value>(name).unwrap() {
            mlua::Value::Table(values) => Some(values.get(1).unwrap()),
            value => value.as_string().map(|text| text.to_str().unwrap().to_owned()),
        }
    }

    fn set(&self, name: &str, value: Option<&str>) {
        self.request.get::<Table>("headers").unwrap().set(name, value).unwrap();
    }

    fn access(&mut self, name: &str, config: &Value) {
        match name {
            "cors" => self.cors_preflight(config),
            "basic-auth" => self.basic_auth(config),
            "request-termination" => {
                let text = |name: &str| config[name].as_str().unwrap().to_owned();
                let status = config["status_code"].as_u64().unwrap().try_into().unwrap();
                let headers = BTreeMap::from([("content-type".to_owned(), text("content_type"))]);
                self.exit = Some((status, text("body"), headers));
            }
            _ => self.lua("access", config),
        }
    }

    fn lua(&mut self, phase: &str, config: &Value) {
        self.request.set("phase", phase).unwrap();
        for source in list(&config[phase]) {
            let program = self.kong.program(source.as_str().unwrap());
            let run: Function = self.kong.pdk.get("run").unwrap();
            run.call::<()>((program, &self.request)).unwrap();
            let Some(exit) = self.request.get::<Option<Table>>("exit").unwrap() else { continue };
            if phase == "access" {
                let headers: Table = exit.get("headers").unwrap();
                let headers = headers
                    .pairs::<String, String>()
                    .map(Result::unwrap)
                    .map(|(name, value)| (name.to_lowercase(), value));
                self.exit = Some((exit.get("status").unwrap(), exit.get("body").unwrap(), headers.collect()));
                return;
            }
        }
    }

    fn cors_preflight(&mut self, config: &Value) {
        let asked = ["origin", "access-control-request-method"].iter().all(|name| self.header(name).is_some());
        if self.method != "OPTIONS" || !asked {
            return;
        }
        self.preflight = true;
        let joined = |name: &str| list(&config[name]).map(|v| v.as_str().unwrap()).collect::<Vec<_>>().join(",");
        let headers = [
            ("access-control-allow-origin", "*".to_owned()),
            ("access-control-allow-headers", joined("headers")),
            ("access-control-allow-methods", joined("methods")),
            ("access-control-max-age", config["max_age"].to_string()),
        ];
        let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        self.exit = Some((200, String::new(), headers));
    }

    fn basic_auth(&mut self, config: &Value) {
        // It hides a header only when it has looked into it.
        for name in ["proxy-authorization", "authorization"] {
            let login = self.header(name).and_then(|value| {
                let encoded = value.trim_start().strip_prefix("Basic ")?.to_owned();
                let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
                decoded.split_once(':').map(|(user, password)| (user.to_owned(), password.to_owned()))
            });
            if config["hide_credentials"] == true {
                self.set(name, None);
            }
            let consumer = login.as_ref().and_then(|(user, password)| self.kong.credential(user, password));
            if let (Some(consumer), Some((user, _))) = (consumer, &login) {
                self.set("x-consumer-id", Some("id"));
                self.set("x-consumer-username", consumer["username"].as_str());
                self.set("x-credential-identifier", Some(user));
                self.request.set("credential", self.kong.lua.create_table().unwrap()).unwrap();
                return;
            }
        }
        let headers = BTreeMap::from([("www-authenticate".to_owned(), "Basic realm=\"service\"".to_owned())]);
        self.exit = Some((401, json!({"message": "Unauthorized"}).to_string(), headers));
    }

    fn header_filter(&mut self, name: &str, config: &Value, headers: &mut BTreeMap<String, String>) {
        if name == "cors" && !self.preflight {
            let exposed = list(&config["exposed_headers"]).map(|v| v.as_str().unwrap()).collect::<Vec<_>>().join(",");
            headers.insert("access-control-allow-origin".to_owned(), "*".to_owned());
            headers.insert("access-control-expose-headers".to_owned(), exposed);
        } else if name.ends_with("-function") {
            let table = self.kong.lua.create_table().unwrap();
            for (name, value) in headers.iter() {
                table.set(name.as_str(), value.as_str()).unwrap();
            }
            self.request.set("response", &table).unwrap();
            self.lua("header_filter", config);
            *headers = table.pairs::<String, String>().map(Result::unwrap).collect();
        }
    }

    /// What nginx makes of it: some headers come from variables, whatever the request has.
    fn proxy(&self, ends_with_question_mark: bool) -> Value {
        let services = list(&self.kong.file["services"]);
        let service = services.into_iter().find(|service| service["name"] == self.route["service"]);
        let service = service.unwrap_or_else(|| panic!("{} passes, and has no service", self.route["name"]));
        let url = service["url"].as_str().unwrap();
        let (host, _) = url.strip_prefix("http://").unwrap().rsplit_once(':').unwrap();
        assert_eq!(self.route["strip_path"], false, "Kong strips by default");

        let vars: Table = self.request.get("vars").unwrap();
        let var = |name: &str| vars.get::<Option<String>>(name).unwrap();
        let original = (self.route["preserve_host"] == true).then(|| self.header("host")).flatten();
        let upstream_host = var("upstream_host").or(original).unwrap_or_else(|| host.to_owned());
        self.set("host", Some(&upstream_host));
        for (name, default) in
            [("host", Some("client.example")), ("port", Some("8000")), ("proto", Some("http")), ("prefix", None)]
        {
            let value = var(&format!("upstream_x_forwarded_{name}")).or(default.map(str::to_owned));
            self.set(&format!("x-forwarded-{name}"), value.as_deref());
        }

        let path: mlua::String = self.request.get("upstream_path").unwrap();
        let mut target = escape(&path.as_bytes());
        let args = self.request.get::<Option<String>>("args").unwrap().unwrap_or_default();
        if !args.is_empty() || ends_with_question_mark {
            target = format!("{target}?{args}");
        }
        let headers: Table = self.request.get("headers").unwrap();
        let headers = headers.pairs::<String, mlua::Value>().map(Result::unwrap).map(|(name, value)| {
            let value = match value {
                mlua::Value::Table(values) => {
                    values.sequence_values::<String>().map(Result::unwrap).collect::<Vec<_>>().join(", ")
                }
                value => value.to_string().unwrap(),
            };
            (name, json!(value))
        });
        json!({"service": host, "target": target, "headers": Value::Object(headers.collect())})
    }
}
