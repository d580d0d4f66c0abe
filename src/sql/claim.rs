//! The comment on role `authenticator` by which a project claims a server. Pure.
//!
//! Roles belong to a whole server, and Supabase's names for them are fixed. Two projects on one server would not only take
//! turns in setting passwords: whoever may switch to `service_role` may do so in every database that it can connect to,
//! and Realtime's login has the same name for all. So a server has one project; the comment can be read from each
//! database, and a second project is refused before it changes anything.

use std::collections::BTreeMap;

use super::quote::literal;

/// Who uses the server, and what was done to its roles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    pub owner: String,
    /// Digest of each step on roles that was applied, by its id.
    pub applied: BTreeMap<String, String>,
}

const CLAIM_PREFIX: &str = "supabase-operator: used by SupabaseProject ";

impl Claim {
    pub fn new(owner: &str) -> Self {
        Self { owner: owner.to_owned(), applied: BTreeMap::new() }
    }

    /// `None` where the comment is not a claim of ours.
    pub fn parse(comment: &str) -> Option<Self> {
        let mut words = comment.strip_prefix(CLAIM_PREFIX)?.split_whitespace();
        let owner = words.next()?.to_owned();
        let applied =
            words.filter_map(|word| word.split_once('=')).map(|(id, digest)| (id.to_owned(), digest.to_owned()));
        Some(Self { owner, applied: applied.collect() })
    }

    pub fn text(&self) -> String {
        let applied: String = self.applied.iter().map(|(id, digest)| format!(" {id}={digest}")).collect();
        format!("{CLAIM_PREFIX}{}{applied}", self.owner)
    }

    /// The statement that writes the comment.
    pub fn statement(&self) -> String {
        format!("COMMENT ON ROLE authenticator IS {};", literal(&self.text()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_read_back() {
        let mut claim = Claim::new("ns/demo");
        assert_eq!(Claim::parse(&claim.text()), Some(claim.clone()));
        claim.applied.insert("roles".to_owned(), "0123".to_owned());
        claim.applied.insert("passwords".to_owned(), "4567".to_owned());
        assert_eq!(Claim::parse(&claim.text()), Some(claim));
        assert_eq!(Claim::parse("a comment of somebody"), None);
    }
}
