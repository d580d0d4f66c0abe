//! What was checked and how it came out, and the environment that most checks look at.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Mutex;

use serde::Serialize;
use serde_json::json;

/// The outcome of one check. `error` never holds a secret value.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    pub check: String,
    pub ok: bool,
    /// Whether the process must not serve without it.
    #[serde(skip)]
    needed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// All checks of one process. A check that is recorded again replaces its older outcome.
pub struct Checks {
    pub component: &'static str,
    outcomes: Mutex<Vec<Outcome>>,
}

impl Checks {
    pub fn new(component: &'static str) -> Self {
        Self { component, outcomes: Mutex::default() }
    }

    /// Records the outcome of what the process cannot serve without, and gives the value of a check that passed.
    pub fn record<T>(&self, check: impl Into<String>, result: Result<T, impl Display>) -> Option<T> {
        self.keep(check.into(), true, result)
    }

    /// Records the outcome of what the real component finds out only later: it ends nothing.
    pub fn observe<T>(&self, check: impl Into<String>, result: Result<T, impl Display>) -> Option<T> {
        self.keep(check.into(), false, result)
    }

    fn keep<T>(&self, check: String, needed: bool, result: Result<T, impl Display>) -> Option<T> {
        let (value, error) = match result {
            Ok(value) => (Some(value), None),
            Err(error) => (None, Some(error.to_string())),
        };
        let mut outcomes = self.outcomes.lock().unwrap();
        outcomes.retain(|outcome| outcome.check != check);
        outcomes.push(Outcome { check, ok: error.is_none(), needed, error });
        value
    }

    /// A variable that must be set.
    pub fn variable<'e, T>(
        &self,
        environment: &'e Environment,
        name: &str,
        valid: impl FnOnce(&'e str) -> Result<T, String>,
    ) -> Option<T> {
        self.record(name, environment.text(name).and_then(|value| rendered(value).map(|()| value)).and_then(valid))
    }

    /// A variable that may be absent. `None` also where it is set and wrong.
    pub fn variable_if_set<'e, T>(
        &self,
        environment: &'e Environment,
        name: &str,
        valid: impl FnOnce(&'e str) -> Result<T, String>,
    ) -> Option<T> {
        environment.get(name).and_then(|_| self.variable(environment, name, valid))
    }

    pub fn failures(&self) -> Vec<Outcome> {
        self.outcomes.lock().unwrap().iter().filter(|outcome| !outcome.ok).cloned().collect()
    }

    /// Ends the process if a check failed so far, with one line for each that did.
    pub fn stop_at_failures(&self) {
        let failures: Vec<Outcome> = self.failures().into_iter().filter(|outcome| outcome.needed).collect();
        for Outcome { check, error, .. } in &failures {
            eprintln!("{}", json!({"component": self.component, "check": check, "error": error}));
        }
        if !failures.is_empty() {
            std::process::exit(1);
        }
    }

    pub fn report(&self) -> serde_json::Value {
        json!({
            "component": self.component,
            "standin": true,
            "ok": self.failures().is_empty(),
            "checks": *self.outcomes.lock().unwrap(),
        })
    }
}

/// The environment of the process, or of a test.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    pub fn of_process() -> Self {
        Self(std::env::vars().collect())
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The value of a variable that must be set and must not be empty.
    pub fn text(&self, name: &str) -> Result<&str, String> {
        match self.get(name) {
            None => Err("is not set".to_owned()),
            Some("") => Err("is empty".to_owned()),
            Some(value) => Ok(value),
        }
    }

    pub fn is(&self, name: &str, value: &str) -> bool {
        self.get(name) == Some(value)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Fails for every variable of `prefixes` that is empty, or holds something that should have been replaced.
    pub fn check_rendered(&self, checks: &Checks, prefixes: &[&str], free_text: &[&str]) {
        for (name, value) in self.iter() {
            let matches = |list: &[&str]| list.iter().any(|prefix| name.starts_with(prefix));
            if matches(prefixes)
                && !matches(free_text)
                && let Err(error) = rendered(value)
            {
                checks.record(name, Err::<(), _>(error));
            }
        }
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Environment {
    fn from(pairs: [(&str, &str); N]) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}

/// Kubernetes leaves `$(NAME)` in a value where NAME is not set before it.
fn rendered(value: &str) -> Result<(), String> {
    if value.is_empty() {
        Err("is empty".to_owned())
    } else if value.contains("$(") || value.contains("${") {
        Err("holds a reference that was not replaced".to_owned())
    } else if value.starts_with('<') && value.ends_with('>') {
        Err("is a placeholder".to_owned())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_values_and_unresolved_references_are_failures_of_their_variable() {
        let environment = Environment::from([
            ("DB_EMPTY", ""),
            ("DB_URL", "postgres://u:$(PASSWORD)@h/d"),
            ("DB_TODO", "<your key>"),
            ("DB_FINE", "a<b"),
            ("DB_TEXT_SUBJECT", "${any}"),
            ("OTHER", ""),
        ]);
        let checks = Checks::new("test");
        environment.check_rendered(&checks, &["DB_"], &["DB_TEXT_"]);
        let failed: Vec<String> = checks.failures().into_iter().map(|outcome| outcome.check).collect();
        assert_eq!(failed, ["DB_EMPTY", "DB_TODO", "DB_URL"]);
    }

    #[test]
    fn a_check_that_passes_later_is_no_failure_any_more() {
        let checks = Checks::new("test");
        checks.record("peer", Err::<(), _>("away"));
        checks.record("peer", Ok::<_, String>(()));
        assert!(checks.failures().is_empty());
    }
}
