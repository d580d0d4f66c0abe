//! What of a project's objects is applied now, and what waits: for its turn in a bring-up, or for a migration. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::{Digest, Kind, Manifest};
use crate::cluster::Rollout;
use crate::components::Component;
use crate::plan::Plan;

/// What a pass shall do with what was rendered.
#[derive(Debug, Default)]
pub struct Selection {
    pub now: Vec<Manifest>,
    /// Neither applied nor removed: what is there stays as it is.
    pub held: Vec<Manifest>,
    /// Components whose schema is being migrated.
    pub migrating: Vec<Component>,
    /// Components that others wait for.
    pub awaited: Vec<Component>,
}

/// Sorts manifests. `in_waves`: this is a first bring-up or a change of release; a steady project waits for nothing.
/// `succeeded` are the names of Jobs that ended well.
pub fn select(
    plan: &Plan,
    manifests: Vec<Manifest>,
    rollouts: &BTreeMap<Component, Rollout>,
    succeeded: &BTreeSet<String>,
    in_waves: bool,
) -> Selection {
    let mut selection = Selection { awaited: awaited(plan, rollouts, in_waves), ..Selection::default() };
    let turn = selection.awaited.first().and_then(|component| wave(plan, *component));
    let migrated: BTreeSet<Component> = manifests
        .iter()
        .filter(|manifest| manifest.kind == Kind::Job && succeeded.contains(manifest.name.as_str()))
        .filter_map(|manifest| manifest.component)
        .collect();
    for manifest in manifests {
        let Some(component) = manifest.component else {
            selection.now.push(manifest);
            continue;
        };
        // Names and addresses can exist before what is behind them.
        let early = matches!(manifest.kind, Kind::ServiceAccount | Kind::Service);
        let late = turn.is_some_and(|turn| wave(plan, component) > Some(turn));
        if late && !early {
            selection.held.push(manifest);
            continue;
        }
        let needed = manifest
            .migration
            .is_some_and(|needed| rollouts.get(&component).and_then(|rollout| rollout.migration) != Some(needed));
        match manifest.kind {
            // What its Deployment runs with already need not be done again.
            Kind::Job if !needed => {}
            Kind::Deployment if needed && !migrated.contains(&component) => {
                selection.migrating.push(component);
                selection.held.push(manifest);
            }
            _ => selection.now.push(manifest),
        }
    }
    selection
}

fn wave(plan: &Plan, component: Component) -> Option<u8> {
    plan.workloads.get(&component).map(|settings| settings.workload.wave)
}

/// The components of the first wave in which one has not arrived; none where all have.
fn awaited(plan: &Plan, rollouts: &BTreeMap<Component, Rollout>, in_waves: bool) -> Vec<Component> {
    if !in_waves {
        return Vec::new();
    }
    let release = Digest::of_bytes(plan.release.name.as_bytes());
    let arrived = |component: &Component| {
        rollouts.get(component).is_some_and(|rollout| rollout.release == Some(release) && rollout.is_complete())
    };
    let missing: Vec<Component> = plan.workloads.keys().filter(|component| !arrived(component)).copied().collect();
    let turn = missing.iter().filter_map(|component| wave(plan, *component)).min();
    missing.into_iter().filter(|component| wave(plan, *component) == turn).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{render, testing};
    use Component::{Auth, Functions, Gateway, Imgproxy, Meta, Postgrest, Realtime, Storage, Studio};

    fn complete(release: &str, migration: Option<Digest>) -> Rollout {
        let release = Some(Digest::of_bytes(release.as_bytes()));
        Rollout { wanted: 1, updated: 1, available: 1, total: 1, observed: true, release, migration }
    }

    fn manifests(plan: &Plan) -> Vec<Manifest> {
        render::render(plan, &testing::credentials(), "database").unwrap()
    }

    fn deployed(selection: &Selection) -> Vec<Component> {
        let deployments = selection.now.iter().filter(|manifest| manifest.kind == Kind::Deployment);
        let mut components: Vec<_> = deployments.filter_map(|manifest| manifest.component).collect();
        components.sort();
        components
    }

    fn jobs(selection: &Selection) -> Vec<String> {
        selection.now.iter().filter(|manifest| manifest.kind == Kind::Job).map(|job| job.name.to_string()).collect()
    }

    #[test]
    fn a_bring_up_goes_in_waves_and_each_migrates_before_it_serves() {
        let plan = testing::plan();
        let mut rollouts = BTreeMap::new();
        let mut succeeded = BTreeSet::new();
        let mut order = Vec::new();
        // Every step makes what was applied complete, and every Job succeed.
        for _ in 0..16 {
            let selection = select(&plan, manifests(&plan), &rollouts, &succeeded, true);
            succeeded.extend(jobs(&selection));
            for manifest in selection.now.iter().filter(|manifest| manifest.kind == Kind::Deployment) {
                let component = manifest.component.unwrap();
                if rollouts.insert(component, complete("v0.8.1", manifest.migration)).is_none() {
                    order.push(component);
                }
            }
            if selection.held.is_empty() && selection.awaited.is_empty() {
                break;
            }
        }
        let waves = [&[Gateway, Auth][..], &[Postgrest], &[Imgproxy, Storage, Realtime], &[Meta], &[Functions, Studio]];
        assert_eq!(order, waves.concat());
        let after = select(&plan, manifests(&plan), &rollouts, &succeeded, true);
        assert!(after.held.is_empty() && jobs(&after).is_empty(), "what was migrated leaves no Job");
    }

    #[test]
    fn services_exist_before_what_is_behind_them() {
        let plan = testing::plan();
        let selection = select(&plan, manifests(&plan), &BTreeMap::new(), &BTreeSet::new(), true);
        let services = selection.now.iter().filter(|manifest| manifest.kind == Kind::Service).count();
        assert_eq!(services, plan.workloads.len());
        assert_eq!(deployed(&selection), [Component::Gateway]);
        assert_eq!(selection.migrating, [Component::Auth]);
        assert_eq!(selection.awaited, [Component::Gateway, Component::Auth]);
    }

    fn steady(plan: &Plan) -> BTreeMap<Component, Rollout> {
        let deployments = manifests(plan).into_iter().filter(|manifest| manifest.kind == Kind::Deployment);
        deployments.map(|m| (m.component.unwrap(), complete("v0.8.1", m.migration))).collect()
    }

    #[test]
    fn a_steady_project_waits_for_nothing_but_a_migration_that_another_image_needs() {
        let mut plan = testing::plan();
        let mut rollouts = steady(&plan);
        // Auth is down: that is no reason not to repair the others.
        rollouts.get_mut(&Component::Auth).unwrap().available = 0;
        let selection = select(&plan, manifests(&plan), &rollouts, &BTreeSet::new(), false);
        assert!(selection.held.is_empty() && selection.awaited.is_empty() && jobs(&selection).is_empty());
        plan.workloads.get_mut(&Component::Auth).unwrap().image = "another".to_owned();
        let selection = select(&plan, manifests(&plan), &rollouts, &BTreeSet::new(), false);
        assert_eq!(selection.held.iter().map(|held| held.kind).collect::<Vec<_>>(), [Kind::Deployment]);
        assert_eq!(jobs(&selection).len(), 1);
    }

    #[test]
    fn another_database_is_migrated_anew() {
        let plan = testing::plan();
        let rollouts = steady(&plan);
        let rendered = render::render(&plan, &testing::credentials(), "restored elsewhere").unwrap();
        let selection = select(&plan, rendered, &rollouts, &BTreeSet::new(), false);
        assert_eq!(selection.migrating, [Component::Auth, Component::Realtime]);
    }

    #[test]
    fn another_release_goes_in_waves_and_leaves_the_later_ones_as_they_are() {
        let plan = testing::plan();
        let mut rollouts = steady(&plan);
        for rollout in rollouts.values_mut() {
            rollout.release = Some(Digest::of_bytes(b"2026-08-05"));
        }
        let selection = select(&plan, manifests(&plan), &rollouts, &BTreeSet::new(), true);
        assert_eq!(deployed(&selection), [Component::Gateway, Component::Auth]);
        let held: BTreeSet<_> = selection.held.iter().map(|held| held.component.unwrap()).collect();
        assert!(held.contains(&Component::Postgrest) && held.contains(&Component::Studio));
    }
}
