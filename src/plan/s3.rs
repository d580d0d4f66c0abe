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
        if is("amazonaws.com") || is("amazonaws.com.cn") {
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
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    format!("https://s3.{region}.{domain}")
}

/// Addresses that are known to speak something else.
///
/// # Errors
/// What to do instead.
pub fn speaks_s3(endpoint: &str) -> Result<(), Problem> {
    let host = host(endpoint);
    if host.ends_with(".blob.core.windows.net") || host.ends_with(".dfs.core.windows.net") {
        return Err(Problem::new(
            Reason::SecretInvalid,
            "Azure Blob Storage has no S3 API: put a gateway before it that has one, for example S3Proxy or VersityGW, and name the gateway's address",
        ));
    }
    Ok(())
}

/// `s3.eu-central-1.…`, `s3.dualstack.eu-central-1.…`, `s3-fips.us-east-1.…`, the old `s3-eu-west-1.…`; `s3.amazonaws.com`
/// is in the first region.
fn region_of_aws(host: &str) -> Option<String> {
    let rest = host.strip_suffix(".cn").unwrap_or(host).strip_suffix("amazonaws.com")?.trim_end_matches('.');
    let mut labels = rest.split('.').skip_while(|label| !label.starts_with("s3") && !label.starts_with("vpce-"));
    let first = labels.next()?;
    let found = labels.find(|label| !matches!(*label, "dualstack" | "s3") && !label.starts_with("vpce"));
    match (found, first.strip_prefix("s3-").filter(|region| *region != "fips")) {
        (Some(region), _) | (None, Some(region)) => Some(region.to_owned()),
        (None, None) => Some("us-east-1".to_owned()),
    }
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
            ("https://s3-eu-west-1.amazonaws.com", Service::Aws, Some("eu-west-1"), false),
            ("https://s3.dualstack.us-east-2.amazonaws.com/", Service::Aws, Some("us-east-2"), false),
            ("https://s3-fips.us-west-1.amazonaws.com", Service::Aws, Some("us-west-1"), false),
            ("https://s3.cn-north-1.amazonaws.com.cn", Service::Aws, Some("cn-north-1"), false),
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
        for region in ["eu-central-1", "cn-north-1"] {
            let endpoint = aws_endpoint(region);
            assert_eq!(
                (Service::of(&endpoint), Service::Aws.region(&endpoint).as_deref()),
                (Service::Aws, Some(region))
            );
        }
    }

    #[test]
    fn azure_is_told_to_have_a_gateway() {
        let problem = speaks_s3("https://account.blob.core.windows.net").unwrap_err();
        assert!(problem.message.contains("gateway"), "{}", problem.message);
        assert!(speaks_s3("https://s3.example.com").is_ok());
    }
}
