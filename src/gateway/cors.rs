//! What pages of other origins may do: the same behind every gateway.

pub(super) const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

pub(super) const MAX_AGE_SECONDS: u32 = 3600;

/// What a service may not say by itself where the gateway allows no other origin.
pub(super) const ANSWERS: &[&str] = &["access-control-allow-origin", "access-control-allow-credentials"];

/// The star covers what functions invent. It does not cover `authorization`, nor anything in a
/// request with credentials: the rest of the list does.
pub(super) const ALLOWED: &[&str] = &[
    "*",
    "authorization",
    "apikey",
    "x-client-info",
    "x-supabase-api-version",
    "x-region",
    "content-type",
    "content-length",
    "content-encoding",
    "content-range",
    "content-profile",
    "accept",
    "accept-profile",
    "accept-language",
    "cache-control",
    "if-match",
    "if-none-match",
    "if-modified-since",
    "prefer",
    "range",
    "range-unit",
    "traceparent",
    "tracestate",
    "x-requested-with",
    "x-http-method-override",
    "x-metadata",
    "x-upsert",
    "tus-resumable",
    "upload-concat",
    "upload-defer-length",
    "upload-length",
    "upload-metadata",
    "upload-offset",
];

pub(super) const EXPOSED: &[&str] = &[
    "*",
    "accept-ranges",
    "content-disposition",
    "content-encoding",
    "content-length",
    "content-location",
    "content-profile",
    "content-range",
    "content-type",
    "etag",
    "link",
    "location",
    "preference-applied",
    "retry-after",
    "x-supabase-api-version",
    "x-total-count",
    "tus-resumable",
    "upload-expires",
    "upload-length",
    "upload-offset",
];
