//! What becomes of a row of the table in one project, whichever gateway serves it.

use super::{Access, Dashboard, Keys, Route, Upstreams};

pub(super) const NO_ROUTE: &str = "no route matched";

pub(super) enum Verdict<'a> {
    /// To the service; only for these users, if there are any.
    Forward { users: Option<&'a Dashboard> },
    /// The gateway answers by itself, whoever asks.
    Refuse { status: u16, message: String },
}

/// A row whose service is absent and a row that cannot be protected are refusals.
pub(super) fn verdict<'a>(route: &Route, upstreams: &Upstreams, keys: &'a Keys) -> Verdict<'a> {
    let refuse = |status, message: &str| Verdict::Refuse { status, message: message.to_owned() };
    let forbidden = || refuse(403, "This path is not available");
    let absent = !upstreams.contains_key(&route.upstream);
    match route.access {
        Access::Nobody => forbidden(),
        Access::Dashboard if absent => refuse(404, NO_ROUTE),
        _ if absent => refuse(503, &format!("{} is not part of this project", route.upstream.title())),
        Access::Dashboard => match keys.dashboard.as_ref().filter(|dashboard| dashboard.is_usable()) {
            users @ Some(_) => Verdict::Forward { users },
            None => forbidden(),
        },
        Access::Open | Access::Key | Access::Service => Verdict::Forward { users: None },
    }
}
