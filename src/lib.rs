//! An operator that turns one `SupabaseProject` into a Supabase that works.
//!
//! # The flow of every reconcile, in one direction
//!
//! ```text
//! watch ──► inputs ──► plan ──► render ──► apply ──► converge ──► observe ──► report
//! stores    Secrets    PURE     PURE       SSA by    SQL, S3,     stores      PURE; written
//!                                          digest    gateway                  if different
//! ```
//!
//! 1. [`cluster`] watches projects' objects and Secrets; what it sees lands in small stores and wakes projects.
//! 2. [`controller`] makes one [`pass`] over one project: it reads like this list.
//! 3. [`plan`] says which Secrets are needed, and resolves every default, name, address and key. Pure.
//! 4. [`checks`] runs what takes time outside of Kubernetes ([`sql`], [`bucket`], [`tenants`], [`usable`]) beside the passes.
//! 5. [`keyring`] makes the project's keys exist, once.
//! 6. [`render`] turns a plan into objects, by the table in [`components`] (and [`gateway`] for Envoy's files). Pure.
//! 7. [`cluster`] applies what differs, and nothing else.
//! 8. [`status`] composes what users read; it is written if it says something new. Pure.
//!
//! # The rooms
//!
//! | room | what it does | I/O |
//! |---|---|---|
//! | [`api`] | the Kubernetes API: types, docs, validation rules | none |
//! | [`plan`], [`components`], [`gateway`], [`render`], [`status`] | the middle: values in, values out | none |
//! | [`provider`] | databases and object stores that other operators run: what to ask for, and whether it is there | none |
//! | [`reason`], [`sensitive`] | vocabulary: reasons, problems, progress; strings that must not be seen | none |
//! | [`cluster`], [`keyring`], [`leader`] | the API server | Kubernetes |
//! | [`sql`] | the database | PostgreSQL |
//! | [`bucket`] | the object store | S3, MinIO's admin API |
//! | [`tenants`], [`usable`] | what services are told, and requests through the gateway | HTTP |
//! | [`controller`], [`pass`], [`managed`], [`checks`] | one pass, its step about what others run, and the work beside it | through the others |
//! | [`config`], [`run`], [`telemetry`], [`offline`], [`doctor`] | settings, wiring, logs and metrics, printing | process |

pub mod api;
pub mod bucket;
pub mod checks;
pub mod cluster;
pub mod components;
pub mod config;
pub mod controller;
pub mod doctor;
pub mod gateway;
pub mod keyring;
pub mod kind;
pub mod leader;
pub mod managed;
pub mod offline;
pub mod pass;
pub mod plan;
pub mod provider;
pub mod reason;
pub mod render;
pub mod run;
pub mod sensitive;
pub mod sql;
pub mod status;
pub mod telemetry;
pub mod tenants;
#[cfg(test)]
mod testing;
pub mod usable;
