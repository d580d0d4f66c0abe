//! One call to the API server: bounded in time, and with words for what was tried on which object.

use std::time::Duration;

use kube::core::Status;

/// kube sets no read timeout, and a hung call would hold its project's only place.
const LIMIT: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error("cannot {verb} {kind} {namespace}/{name}: {source}")]
    Refused { verb: &'static str, kind: String, namespace: String, name: String, source: Box<kube::Error> },
    #[error("cannot {verb} {kind} {namespace}/{name}: no answer within {} s", LIMIT.as_secs())]
    Timeout { verb: &'static str, kind: String, namespace: String, name: String },
    #[error("another instance of the operator has the lease: nothing is written")]
    NotLeader,
}

impl CallError {
    fn status(&self) -> Option<&Status> {
        match self {
            Self::Refused { source, .. } => match source.as_ref() {
                kube::Error::Api(status) => Some(status),
                _ => None,
            },
            Self::Timeout { .. } | Self::NotLeader => None,
        }
    }

    /// What the API server has against the content of an object; `None` where trying again may help.
    pub fn refusal(&self) -> Option<String> {
        let Self::Refused { verb, kind, namespace, name, .. } = self else { return None };
        let status = self.status()?;
        let final_word = (400..500).contains(&status.code) && !matches!(status.code, 401 | 404 | 408 | 409 | 429);
        final_word.then(|| format!("cannot {verb} {kind} {namespace}/{name}: {}", status.message))
    }

    /// What the API server says of a webhook that it could not ask.
    pub fn webhook_failure(&self) -> Option<String> {
        let Self::Refused { verb, kind, namespace, name, .. } = self else { return None };
        let status = self.status()?;
        let failed = status.code == 500 && status.message.contains("failed calling webhook");
        failed.then(|| format!("cannot {verb} {kind} {namespace}/{name}: {}", status.message))
    }

    /// The namespace is being removed: nothing can be made in it any more.
    pub fn is_namespace_ending(&self) -> bool {
        let details = self.status().and_then(|status| status.details.as_ref());
        details.is_some_and(|details| details.causes.iter().any(|cause| cause.reason == "NamespaceTerminating"))
    }

    pub fn is_not_found(&self) -> bool {
        self.status().is_some_and(is_absent)
    }

    pub fn is_conflict(&self) -> bool {
        self.status().is_some_and(Status::is_conflict)
    }

    pub fn is_already_exists(&self) -> bool {
        self.status().is_some_and(Status::is_already_exists)
    }
}

/// Nothing is there. A kind that is not served is answered in plain text, for which kube makes up a reason of its own.
pub fn is_absent(status: &Status) -> bool {
    status.code == 404
}

/// Runs a call for at most 30 seconds.
///
/// # Errors
/// The API server refused or did not answer.
pub async fn bounded<T>(
    verb: &'static str,
    kind: &str,
    namespace: &str,
    name: &str,
    call: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, CallError> {
    let (kind, namespace, name) = (kind.to_owned(), namespace.to_owned(), name.to_owned());
    match tokio::time::timeout(LIMIT, call).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(source)) => Err(CallError::Refused { verb, kind, namespace, name, source: Box::new(source) }),
        Err(_) => Err(CallError::Timeout { verb, kind, namespace, name }),
    }
}
