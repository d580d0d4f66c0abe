//! How many connections to the database the services may hold together. Pure.

use super::Plan;
use crate::api::SupabaseProjectSpec;
use crate::components::{COMPONENTS, Component};

/// What the services of a plan may hold.
pub fn of_plan(plan: &Plan) -> u32 {
    let pods = plan.workloads.values().map(|settings| (settings.workload.component, settings.replicas));
    sum(pods, plan.pooler.default_pool_size)
}

/// The same from a spec alone.
pub fn of_spec(spec: &SupabaseProjectSpec) -> u32 {
    let wanted = COMPONENTS.iter().filter_map(|entry| {
        let settings = (entry.settings)(spec);
        let replicas = settings.workload.and_then(|workload| workload.replicas).unwrap_or(1);
        settings.enabled.then_some((entry.component, replicas))
    });
    sum(wanted, super::settings::pooler(spec.pooler.as_ref()).default_pool_size)
}

fn sum(pods: impl Iterator<Item = (Component, i32)>, pooled: i32) -> u32 {
    let all: i32 = pods.map(|(component, replicas)| replicas.saturating_mul(of_pod(component, pooled))).sum();
    u32::try_from(all).unwrap_or_default()
}

/// The sizes of the services' pools, where no variable of ours sets them their defaults.
fn of_pod(component: Component, pooled: i32) -> i32 {
    match component {
        Component::Auth => 10,
        // One more listens.
        Component::Postgrest => 11,
        Component::Storage => 20,
        // For its own tables, for the tenant's, and two that replicate.
        Component::Realtime => 17,
        // One for each request.
        Component::Meta => 1,
        Component::Pooler => pooled.saturating_add(5),
        Component::Gateway | Component::Imgproxy | Component::Studio | Component::Functions => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn replicas_count_and_so_does_what_is_off() {
        let project = testing::project_from(
            "spec: {storageApi: {enabled: false}, postgrest: {replicas: 3}, pooler: {enabled: true, defaultPoolSize: 7}}",
        );
        assert_eq!(of_spec(&project.spec), 10 + 3 * 11 + 17 + 1 + 12);
        assert_eq!(of_spec(&testing::project().spec), of_plan(&testing::plan()));
    }
}
