//! An image of which nothing is known is looked into: a Job runs it once, and its pod's last words tell who PostgreSQL is
//! in it and which of the libraries that are worth loading it has.

use serde_json::{Value, json};

use super::super::diagnosis::Surroundings;
use super::super::{Inputs, Lifecycle, Upstream, retention};
use super::observation::FIELDS;
use crate::api::{DatabaseImage, DeletionPolicy};
use crate::kind::Kind;
use crate::plan::Identity;
use crate::plan::names::ObjectName;
use crate::reason::{Problem, Reason};
use crate::render::{Digest, Manifest};

/// What is known of an image by now.
#[derive(Clone, Debug, PartialEq)]
pub enum Probed {
    Known(DatabaseImage),
    Waiting,
    Failed(Problem),
}

/// No tool but a shell: an image need not have `id`. Libraries lie where `pg_config` says, or where Debian, Red Hat and
/// Docker's own image put them.
const SCRIPT: &str = r#"
set -eu
found=
while IFS=: read -r name _ uid gid _; do
  if [ "$name" = postgres ]; then found="$uid $gid"; fi
done </etc/passwd
if [ -z "$found" ]; then echo "there is no user postgres in /etc/passwd" >/dev/termination-log; exit 1; fi
own=$(pg_config --pkglibdir 2>/dev/null || true)
for library in pg_stat_statements pgaudit pg_cron pg_net; do
  for directory in "$own" /usr/lib/postgresql/*/lib /usr/pgsql-*/lib /usr/local/lib/postgresql; do
    if [ -n "$directory" ] && [ -e "$directory/$library.so" ]; then found="$found $library"; break; fi
  done
done
echo "$found" >/dev/termination-log
"#;

/// On the Job and on its pod, which are listed together.
const PROBE_LABEL: &str = "supabase-operator.dev/image-probe";

/// Any but root: the image's own user is what is asked for.
const NOBODY: i64 = 65534;
/// The answer is in the status by then.
const KEPT_SECONDS: i32 = 600;

/// Another image is another Job.
fn name(identity: &Identity, image: &str) -> ObjectName {
    identity.name.image_probe(&Digest::of_bytes(image.as_bytes()))
}

/// What lies behind the Job.
pub fn inputs(identity: &Identity, image: &str) -> Inputs {
    let name = name(identity, image);
    let selector = format!("{PROBE_LABEL}={name}");
    Inputs { secrets: Vec::new(), upstream: Upstream::Cluster, name, selector }
}

pub fn job(identity: &Identity, image: &str) -> Manifest {
    let name = name(identity, image);
    let lifecycle = Lifecycle { deletion: DeletionPolicy::Delete, suspended: false };
    let mut metadata = retention::metadata(identity, &name, ("postgresql", "image-probe"), lifecycle);
    if let Some(labels) = metadata.get_mut("labels").and_then(Value::as_object_mut) {
        labels.insert(PROBE_LABEL.to_owned(), json!(name.as_str()));
    }
    let container = json!({
        "name": "probe",
        "image": image,
        "command": ["sh", "-c", SCRIPT],
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
        },
    });
    let labels = metadata.get("labels").cloned();
    let body = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": {
            "backoffLimit": 0,
            "ttlSecondsAfterFinished": KEPT_SECONDS,
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": false,
                    "enableServiceLinks": false,
                    "securityContext": {
                        "runAsNonRoot": true, "runAsUser": NOBODY, "runAsGroup": NOBODY,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "containers": [container],
                },
            },
        },
    });
    Manifest::of(Kind::Job, name, body)
}

/// What the Job and its pod have told.
pub fn observe(image: &str, around: &Surroundings, namespace: &str) -> Probed {
    let said = around.pods.iter().find_map(|pod| pod.said.as_deref()).unwrap_or_default().trim();
    if around.jobs.iter().any(|job| job.failed > 0) {
        return Probed::Failed(untold(image, said));
    }
    if around.jobs.iter().any(|job| job.succeeded) {
        return read(image, said).map_or_else(|| Probed::Failed(untold(image, said)), Probed::Known);
    }
    around.cause(namespace, &FIELDS).map_or(Probed::Waiting, Probed::Failed)
}

fn read(image: &str, said: &str) -> Option<DatabaseImage> {
    let mut words = said.split_whitespace();
    Some(DatabaseImage {
        image: image.to_owned(),
        postgres_uid: words.next()?.parse().ok()?,
        postgres_gid: words.next()?.parse().ok()?,
        preload_libraries: words.map(str::to_owned).collect(),
    })
}

fn untold(image: &str, said: &str) -> Problem {
    let said = if said.is_empty() { String::new() } else { format!(" ({said})") };
    Problem::new(
        Reason::SpecInvalid,
        format!(
            "spec.database.managed.imageName: {image:?} does not tell as whom it runs PostgreSQL{said}; set postgresUID and postgresGID to what `id postgres` says in it"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::diagnosis::{JobSeen, PodSeen, Stuck};
    use crate::testing;

    const IMAGE: &str = "example.com/team/postgres:17.2";

    fn around(job: JobSeen, said: Option<&str>) -> Surroundings {
        let pod = PodSeen { said: said.map(str::to_owned), ..PodSeen::default() };
        Surroundings { jobs: vec![job], pods: vec![pod], ..Surroundings::default() }
    }

    #[test]
    fn the_last_words_of_the_pod_are_the_answer() {
        let done = JobSeen { succeeded: true, ..JobSeen::default() };
        let Probed::Known(seen) = observe(IMAGE, &around(done.clone(), Some("999 998 pgaudit pg_cron\n")), "tenant")
        else {
            panic!()
        };
        assert_eq!((seen.postgres_uid, seen.postgres_gid), (999, 998));
        assert_eq!(seen.preload_libraries, ["pgaudit", "pg_cron"]);
        assert!(matches!(observe(IMAGE, &around(done, Some("nonsense")), "tenant"), Probed::Failed(_)));
        assert_eq!(observe(IMAGE, &around(JobSeen::default(), None), "tenant"), Probed::Waiting);
    }

    #[test]
    fn what_it_could_not_tell_and_an_image_that_does_not_come_are_failures_with_a_remedy() {
        let failed = JobSeen { failed: 1, ..JobSeen::default() };
        let Probed::Failed(problem) = observe(IMAGE, &around(failed, Some("there is no user postgres")), "tenant")
        else {
            panic!()
        };
        assert!(problem.message.contains("no user postgres") && problem.message.contains("postgresUID"), "{problem:?}");
        let stuck = Stuck {
            container: "probe".into(),
            image: IMAGE.into(),
            reason: "ImagePullBackOff".into(),
            message: "not found".into(),
        };
        let mut pulling = around(JobSeen::default(), None);
        pulling.pods = vec![PodSeen { stuck: vec![stuck], ..PodSeen::default() }];
        let Probed::Failed(problem) = observe(IMAGE, &pulling, "tenant") else { panic!() };
        assert_eq!(problem.reason, Reason::ImageUnavailable);
    }

    #[test]
    fn each_image_has_a_job_of_its_own_that_may_run_where_pods_are_restricted() {
        let identity = Identity::of(&testing::project()).unwrap();
        let job = job(&identity, IMAGE);
        assert_ne!(job.name, super::job(&identity, "example.com/team/postgres:17.3").name);
        let (label, value) = (PROBE_LABEL, json!(job.name.as_str()));
        assert_eq!(inputs(&identity, IMAGE).selector, format!("{label}={}", job.name));
        assert_eq!(
            (&job.body["metadata"]["labels"][label], &job.body["spec"]["template"]["metadata"]["labels"][label]),
            (&value, &value)
        );
        let spec = &job.body["spec"]["template"]["spec"];
        assert_eq!(
            (&spec["securityContext"]["runAsNonRoot"], &spec["containers"][0]["image"]),
            (&json!(true), &json!(IMAGE))
        );
    }
}
