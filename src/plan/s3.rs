//! What differs between the services that speak S3, read off their addresses.

use crate::reason::{Problem, Reason};

/// Who runs an S3 server, as far as its address tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    Aws,
    CloudflareR2,
    GoogleCloudStorage,
    /// MinIO, Ceph and all the others.
    Other,
}

impl Service {
    pub fn of(endpoint: &str) -> Self {
        let host = host(endpoint);
        let is = |domain: &str| host == domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
        if is("amazonaws.com") {
            Self::Aws
        } else if is("r2.cloudflarestorage.com") {
            Self::CloudflareR2
        } else if is("storage.googleapis.com") {
            Self::GoogleCloudStorage
        } else {
            Self::Other
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Aws => "Amazon S3",
            Self::CloudflareR2 => "Cloudflare R2",
            Self::GoogleCloudStorage => "Google Cloud Storage, by its interoperability with S3",
            Self::Other => "an S3 server",
        }
    }

    /// Where requests are signed for, when nobody says it; `None` where that cannot be known.
    pub fn region(self, endpoint: &str) -> Option<String> {
        match self {
            Self::Aws => region_of_aws(host(endpoint)),
            // Both have one region of this name and place the bucket themselves.
            Self::CloudflareR2 | Self::GoogleCloudStorage => Some("auto".to_owned()),
            Self::Other => None,
        }
    }

    /// Whether the bucket stands in the path when nobody says it. Amazon wants it in the host name, where a certificate
    /// does not cover a bucket with dots.
    pub fn path_style(self, bucket: &str) -> bool {
        self != Self::Aws || bucket.contains('.')
    }
}

/// Address of Amazon S3 in a region.
pub fn aws_endpoint(region: &str) -> String {
    format!("https://s3.{region}.amazonaws.com")
}

/// The address that the S3 library understands: of the old `s3-eu-west-1.…` it makes a host that does not exist.
pub fn current(endpoint: &str) -> String {
    let old = host(endpoint).strip_prefix("s3-").and_then(|rest| rest.strip_suffix(".amazonaws.com"));
    match old.filter(|region| !region.contains('.') && !region.starts_with("fips")) {
        Some(region) => aws_endpoint(region),
        None => endpoint.to_owned(),
    }
}

/// Addresses that are known to speak something else.
///
/// # Errors
/// What to do instead.
pub fn speaks_s3(endpoint: &str) -> Result<(), Problem> {
    let host = host(endpoint);
    // The S3 library takes no address of theirs.
    if host.ends_with(".amazonaws.com.cn") {
        return Err(Problem::new(
            Reason::SecretInvalid,
            "Amazon S3 in China cannot be used by this version; put a gateway before it, or use another service",
        ));
    }
    if host.ends_with(".blob.core.windows.net") || host.ends_with(".dfs.core.windows.net") {
        return Err(Problem::new(
            Reason::SecretInvalid,
            "Azure Blob Storage has no S3 API: put a gateway before it that has one, for example S3Proxy or VersityGW, and name the gateway's address",
        ));
    }
    Ok(())
}

/// `s3.eu-central-1.…`, `s3.dualstack.eu-central-1.…`, `s3-fips.us-east-1.…`; `s3.amazonaws.com` is in the first region.
fn region_of_aws(host: &str) -> Option<String> {
    let rest = host.strip_suffix("amazonaws.com")?.trim_end_matches('.');
    let mut labels = rest.split('.').skip_while(|label| !label.starts_with("s3") && !label.starts_with("vpce-"));
    labels.next()?;
    let found = labels.find(|label| !matches!(*label, "dualstack" | "s3") && !label.starts_with("vpce"));
    Some(found.unwrap_or("us-east-1").to_owned())
}

/// Host of a URL, without its port.
fn host(endpoint: &str) -> &str {
    let rest = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    rest.split(['/', ':']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_told_by_their_addresses() {
        for (endpoint, service, region, path_style) in [
            ("https://s3.amazonaws.com", Service::Aws, Some("us-east-1"), false),
            ("https://s3.eu-central-1.amazonaws.com", Service::Aws, Some("eu-central-1"), false),
            ("https://s3.dualstack.us-east-2.amazonaws.com/", Service::Aws, Some("us-east-2"), false),
            ("https://s3-fips.us-west-1.amazonaws.com", Service::Aws, Some("us-west-1"), false),
            ("https://bucket.vpce-1a2b.s3.eu-west-1.vpce.amazonaws.com", Service::Aws, Some("eu-west-1"), false),
            ("https://0123.r2.cloudflarestorage.com", Service::CloudflareR2, Some("auto"), true),
            ("https://0123.eu.r2.cloudflarestorage.com", Service::CloudflareR2, Some("auto"), true),
            ("https://storage.googleapis.com", Service::GoogleCloudStorage, Some("auto"), true),
            ("http://minio.external.svc:9000", Service::Other, None, true),
            ("https://s3.notamazonaws.com", Service::Other, None, true),
        ] {
            assert_eq!(Service::of(endpoint), service, "{endpoint}");
            assert_eq!(service.region(endpoint).as_deref(), region, "{endpoint}");
            assert_eq!(service.path_style("files"), path_style, "{endpoint}");
        }
        assert!(Service::Aws.path_style("files.example.com"));
    }

    #[test]
    fn an_address_is_made_for_each_region_of_aws() {
        assert_eq!(current("https://s3-eu-west-1.amazonaws.com"), aws_endpoint("eu-west-1"));
        assert_eq!(current("http://minio:9000"), "http://minio:9000");
        let endpoint = aws_endpoint("eu-central-1");
        assert_eq!(Service::of(&endpoint), Service::Aws);
        assert_eq!(Service::Aws.region(&endpoint).as_deref(), Some("eu-central-1"));
    }

    #[test]
    fn who_has_no_usable_s3_api_is_told_to_have_a_gateway() {
        for endpoint in ["https://account.blob.core.windows.net", "https://s3.cn-north-1.amazonaws.com.cn"] {
            let problem = speaks_s3(endpoint).unwrap_err();
            assert!(problem.message.contains("gateway"), "{}", problem.message);
        }
        assert!(speaks_s3("https://s3.example.com").is_ok());
    }
}
