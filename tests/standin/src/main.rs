//! A stand-in for the Supabase services that no package registry carries.
//!
//! It is none of them: it reads the container's environment as the real component does, fails as the real one fails, is
//! stricter where the real one starts but does not work, and behaves just enough for a client to work with it. One
//! program poses as all of them; the entry program's name or `STANDIN_COMPONENT` says as which.

mod auth;
mod checks;
mod database;
mod functions;
mod http;
mod imgproxy;
mod kong;
mod realtime;
mod storage;
mod studio;
mod supavisor;
mod token;
mod values;

use std::process::ExitCode;

use checks::Environment;

#[tokio::main]
async fn main() -> ExitCode {
    rustls::crypto::ring::default_provider().install_default().ok();
    let arguments: Vec<String> = std::env::args().collect();
    let environment = Environment::of_process();
    let program = arguments.first().map(String::as_str).unwrap_or_default();
    let name = program.rsplit('/').next().unwrap_or_default();
    let words: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
    match component(name, environment.get("STANDIN_COMPONENT")) {
        Some("auth") => auth::run(environment, &words).await,
        Some("realtime") => realtime::run(environment, name, &words).await,
        Some("storage") => storage::run(environment).await,
        Some("imgproxy") => imgproxy::run(environment, &words).await,
        Some("studio") => studio::run(environment).await,
        Some("functions") => functions::run(environment, &words).await,
        Some("kong") => kong::run(environment, &words).await,
        Some("supavisor") => supavisor::run(environment, name, &words).await,
        _ => {
            eprintln!(
                "supabase-standin: a stand-in for Supabase services in tests; STANDIN_COMPONENT must be auth, realtime, \
                 storage, imgproxy, studio, functions, kong or supavisor"
            );
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Programs whose name belongs to one component need no `STANDIN_COMPONENT`.
fn component<'a>(program: &'a str, named: Option<&'a str>) -> Option<&'a str> {
    match program {
        "auth" | "gotrue" => Some("auth"),
        "edge-runtime" => Some("functions"),
        "imgproxy" | "kong" | "supavisor" => Some(program),
        _ => named,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entry_program_s_name_decides_before_the_environment() {
        assert_eq!(component("auth", Some("storage")), Some("auth"));
        assert_eq!(component("edge-runtime", None), Some("functions"));
        assert_eq!(component("server", Some("realtime")), Some("realtime"));
        assert_eq!(component("supabase-standin", None), None);
    }
}
