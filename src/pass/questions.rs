//! What a pass asks of the checks: database, bucket, what services are told, and requests through the gateway. Nothing here
//! waits: an answer that is not there yet wakes the project when it is.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::Pass;
use crate::bucket;
use crate::checks::{Answer, DOUBTFUL, Question, STEADY, STEADY_BUCKET};
use crate::cluster::{Rollout, Trouble};
use crate::components::{self, Component};
use crate::plan::Plan;
use crate::plan::keys::Credentials;
use crate::reason::{ConditionType, Progress, Reason};
use crate::render::Digest;
use crate::sensitive::{self, Sensitive};
use crate::sql::{self, Feature, Initialized};
use crate::tenants;
use crate::usable;

/// How long after its last answer an attended database may be out of reach before that is a failure.
const FAILOVER: Duration = Duration::from_secs(60);

impl Pass<'_> {
    /// Takes a check's answer, and remembers when to ask again.
    fn take<T>(&mut self, answer: Answer<T>) -> Progress<T> {
        self.look_again(answer.again);
        answer.progress
    }

    /// The same of a check that talks to the database. One that fails over is out of reach before its operator says so.
    fn take_of_database<T>(&mut self, answer: Answer<T>, condition: &str) -> Progress<T> {
        match self.take(answer) {
            Progress::Failed(problem)
                if self.attended && problem.reason == Reason::DatabaseUnreachable && self.may_fail_over(condition) =>
            {
                Progress::Waiting(problem)
            }
            progress => progress,
        }
    }

    /// Whether a condition was True a moment ago, or is not known for less than a failover takes. What has failed once
    /// stays so until it is well.
    fn may_fail_over(&self, condition: &str) -> bool {
        let mut conditions = self.project.status.iter().flat_map(|status| &status.conditions);
        let Some(known) = conditions.find(|known| known.type_ == condition) else { return true };
        let age = Timestamp::now().duration_since(known.last_transition_time.0);
        match known.status.as_str() {
            "True" => true,
            "False" => false,
            _ => Duration::try_from(age).unwrap_or_default() < FAILOVER,
        }
    }

    /// What is wrong with the pods, without anything secret that a program may have said.
    pub(super) fn troubles(&self, plan: &Plan, credentials: &Credentials) -> Vec<Trouble> {
        let secrets: Vec<&Sensitive> = credentials.all().chain(plan.secrets()).collect();
        let mut troubles = self.context.cluster.stores.troubles(&self.key);
        for trouble in &mut troubles {
            trouble.message = sensitive::redact(&trouble.message, &secrets);
        }
        troubles
    }

    /// A question about this project. A success is not believed for long while a component is unwell.
    fn question(&self, fingerprint: Digest, steady: Duration) -> Question<'_> {
        let suffers = |rollout: &Rollout| rollout.wanted > 0 && rollout.available == 0;
        let fresh = if self.findings.rollouts.values().any(suffers) { DOUBTFUL } else { steady };
        Question { project: &self.key, fingerprint, fresh, past_holds: false }
    }

    /// Connects to database and bucket, unless it is known already that one of them cannot be used. False: the project
    /// must not be touched yet. A dependency that worked before, with the same settings, does not keep a running project
    /// from being repaired.
    pub(super) fn dependencies(&mut self, plan: &Plan) -> bool {
        let (runner, memory) = (&self.context.runner, self.memory);
        let database = plan.database.fingerprint();
        if self.findings.postgresql == Progress::NotStarted {
            let answer = memory.connection.ask(runner, &self.question(database, STEADY), || {
                let (endpoint, owner) = (plan.database.clone(), self.identity.owner());
                async move { sql::inspect(&endpoint, &owner).await }
            });
            self.findings.postgresql = self.take_of_database(answer, ConditionType::PostgreSqlConnected.as_str());
        }
        let bucket = plan.bucket.fingerprint();
        if self.findings.s3 == Progress::NotStarted {
            let answer = memory.bucket.ask(runner, &self.question(bucket, STEADY_BUCKET), || {
                let endpoint = plan.bucket.clone();
                async move { bucket::ensure(&endpoint).await }
            });
            self.findings.s3 = self.take(answer);
        }
        memory.connection.proven(database).is_some() && memory.bucket.proven(bucket).is_some()
    }

    /// `usable`: there is somebody to talk to.
    pub(super) fn database(&mut self, plan: &Plan, credentials: &Credentials, usable: bool) -> Option<Initialized> {
        let fingerprint = plan.database.initialization_fingerprint(credentials);
        let check = &self.memory.initialization;
        if !usable {
            return check.proven(fingerprint);
        }
        let answer = check.ask(&self.context.runner, &self.question(fingerprint, STEADY), || {
            let (endpoint, owner) = (plan.database.clone(), self.identity.owner());
            let passwords = credentials.passwords.clone();
            async move { sql::initialize(&endpoint, &owner, &passwords).await }
        });
        self.findings.database = self.take_of_database(answer, ConditionType::DatabaseInitialized.as_str());
        check.proven(fingerprint)
    }

    /// Tells Realtime and the pooler of their tenant, as soon as they listen.
    pub(super) fn tenants(&mut self, plan: &Plan, credentials: &Credentials) {
        for component in [Component::Realtime, Component::Pooler] {
            let serves = self.findings.rollouts.get(&component).is_some_and(|rollout| rollout.available > 0);
            if !serves || !plan.has(component) {
                continue;
            }
            let tenant = components::tenant(plan, credentials, component);
            let fingerprint = Digest::of(&json!([tenant.fingerprint().to_hex(), plan.database.fingerprint().to_hex()]));
            let check = if component == Component::Realtime { &self.memory.realtime } else { &self.memory.pooler };
            let answer = check.ask(&self.context.runner, &self.question(fingerprint, STEADY), || {
                let (http, database) = (self.context.http.clone(), plan.database.clone());
                async move { tenants::ensure(&http, &database, &tenant).await }
            });
            let progress = self.take_of_database(answer, component.workload().condition);
            self.findings.tenants.insert(component, progress);
        }
    }

    /// Does what a limited database does not do by itself, once the services have made their tables: opens Storage's to
    /// `service_role`, and tells `PostgREST` of new ones.
    pub(super) fn make_up(&mut self, plan: &Plan, credentials: &Credentials, database: &Initialized, digests: &str) {
        let (runner, rollouts) = (&self.context.runner, &self.findings.rollouts);
        let serves = rollouts.get(&Component::Storage).is_some_and(|rollout| rollout.available > 0);
        let complete = rollouts.values().all(Rollout::is_complete);
        let stage = Digest::of(&json!([database.incarnation, digests, complete]));
        if database.limit(Feature::ServiceRole).is_some() && plan.has(Component::Storage) && serves {
            let answer = self.memory.admission.ask(runner, &self.question(stage, STEADY), || {
                let (endpoint, passwords) = (plan.database.clone(), credentials.passwords.clone());
                async move { sql::admit_service_role(&endpoint, &passwords).await.map(drop) }
            });
            self.findings.admission = self.take_of_database(answer, Component::Storage.workload().condition);
        }
        let admitted = matches!(self.findings.admission, Progress::NotStarted | Progress::Done(()));
        if database.limit(Feature::SchemaReload).is_some() && self.findings.objects.done().is_some() && admitted {
            let answer = self.memory.reload.ask(runner, &self.question(stage, STEADY), || {
                let endpoint = plan.database.clone();
                async move { sql::reload_schema(&endpoint).await }
            });
            self.take(answer);
        }
    }

    pub(super) fn usable(&mut self, plan: &Plan, credentials: &Credentials, digests: &str) {
        let rollouts = &self.findings.rollouts;
        let serves = |component: &Component| rollouts.get(component).is_some_and(|rollout| rollout.available > 0);
        let admitted = matches!(self.findings.admission, Progress::NotStarted | Progress::Done(()));
        let told = self.findings.tenants.values().all(|tenant| tenant.done().is_some()) && admitted;
        if self.findings.objects.done().is_none() || !plan.workloads.keys().all(serves) || !told {
            return;
        }
        let complete = rollouts.values().all(Rollout::is_complete);
        let fingerprint = Digest::of_bytes(format!("{digests}{complete}").as_bytes());
        let question = Question { past_holds: true, ..self.question(fingerprint, STEADY) };
        let answer = self.memory.usable.ask(&self.context.runner, &question, || {
            let (http, plan, credentials) = (self.context.http.clone(), plan.clone(), credentials.clone());
            async move { usable::probe(&http, &plan, &credentials).await }
        });
        self.findings.usable = self.take(answer);
    }
}
