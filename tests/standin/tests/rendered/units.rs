//! Which of the rendered workloads have a stand-in.

use supabase_operator::components::Component;

/// A workload, as a process.
#[derive(Debug)]
pub struct Unit {
    pub label: &'static str,
    pub kind: &'static str,
    pub component: Component,
    /// The image's own entry point, where the workload names no program.
    pub entry: &'static str,
    /// Variables that the image brings along.
    pub image: &'static [(&'static str, &'static str)],
    /// Variables that hold ports, in the order of the Deployment's.
    pub ports: &'static [&'static str],
    /// What it says of itself and of others that are not there in this test.
    pub reported: &'static [&'static str],
}

const REALTIME: &[(&str, &str)] = &[("STANDIN_COMPONENT", "realtime")];
const POOLER: &[(&str, &str)] = &[("STANDIN_COMPONENT", "supavisor"), ("RLIMIT_NOFILE", "1000")];
const POOLER_PORTS: &[&str] = &["PORT", "PROXY_PORT_SESSION", "PROXY_PORT_TRANSACTION"];

const fn unit(
    label: &'static str,
    kind: &'static str,
    component: Component,
    image: &'static [(&'static str, &'static str)],
    ports: &'static [&'static str],
) -> Unit {
    Unit { label, kind, component, entry: "", image, ports, reported: &[] }
}

/// Migrations first. Envoy, PostgREST and postgres-meta run as themselves in tests.
pub static UNITS: [Unit; 10] = [
    unit("auth migrate", "Job", Component::Auth, &[], &["GOTRUE_API_PORT"]),
    unit("realtime migrate", "Job", Component::Realtime, REALTIME, &["PORT"]),
    unit("pooler migrate", "Job", Component::Pooler, POOLER, POOLER_PORTS),
    unit("auth", "Deployment", Component::Auth, &[], &["GOTRUE_API_PORT"]),
    unit("realtime", "Deployment", Component::Realtime, REALTIME, &["PORT"]),
    Unit {
        entry: "node",
        reported: &["bucket", "imgproxy"],
        ..unit("storage", "Deployment", Component::Storage, &[("STANDIN_COMPONENT", "storage")], &["SERVER_PORT"])
    },
    Unit { entry: "imgproxy", ..unit("imgproxy", "Deployment", Component::Imgproxy, &[], &["IMGPROXY_BIND"]) },
    Unit {
        entry: "node",
        reported: &["gateway"],
        ..unit("studio", "Deployment", Component::Studio, &[("STANDIN_COMPONENT", "studio")], &["PORT"])
    },
    Unit { entry: "edge-runtime", ..unit("functions", "Deployment", Component::Functions, &[], &[]) },
    unit("pooler", "Deployment", Component::Pooler, POOLER, POOLER_PORTS),
];

pub fn migrations() -> impl Iterator<Item = &'static Unit> {
    UNITS.iter().filter(|unit| unit.kind == "Job")
}

pub fn servers() -> impl Iterator<Item = &'static Unit> {
    UNITS.iter().filter(|unit| unit.kind == "Deployment")
}

#[cfg(test)]
mod tests {
    use super::*;
    use supabase_operator::components::COMPONENTS;

    #[test]
    fn every_component_has_a_stand_in_or_runs_as_itself_in_tests() {
        let real = [Component::Gateway, Component::Postgrest, Component::Meta];
        for workload in COMPONENTS {
            let posed = servers().any(|unit| unit.component == workload.component);
            let migrated = migrations().any(|unit| unit.component == workload.component);
            assert!(posed != real.contains(&workload.component), "{}", workload.name);
            assert_eq!(migrated, workload.migration.is_some(), "{}", workload.name);
        }
    }
}
