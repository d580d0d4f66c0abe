//! Every service becomes healthy with what is rendered for it.

use supabase_operator::components::{self, Component};
use supabase_operator::tenants;

use super::project::Project;
use super::units::{Unit, migrations, servers};
use crate::contracts::process::{Served, failed};

#[tokio::test(flavor = "multi_thread")]
async fn every_service_is_healthy_with_what_is_rendered_for_it() {
    for tls in ["{sslMode: require}", "{sslMode: verify-full, caSecretRef: {name: orders-ca}}"] {
        let project = Project::initialized(tls).await;
        for unit in migrations() {
            project.process(unit).program.succeeds().await;
        }
        for unit in servers() {
            let process = project.process(unit);
            let served = process.program.serves(process.port, &process.health).await;
            if [Component::Realtime, Component::Pooler].contains(&unit.component) {
                takes_its_tenant(&project, unit, &served).await;
            }
            assert_eq!(failed(&served.report().await), unit.reported, "{}", unit.label);
        }
    }
}

/// The operator's own request: the service connects with what it says.
async fn takes_its_tenant(project: &Project, unit: &Unit, served: &Served) {
    let (plan, credentials) = (&project.rendered.plan, &project.rendered.credentials);
    let mut tenant = components::tenant(plan, credentials, unit.component);
    assert_eq!(tenant.address, format!("http://orders-{}.tenant.svc:4000", unit.component.name()));
    tenant.address.clone_from(&served.url);
    // Told, and then known.
    for _ in 0..2 {
        let told = tenants::ensure(&served.client, &plan.database, &tenant).await;
        told.unwrap_or_else(|problem| panic!("{}", problem.message));
    }
}
