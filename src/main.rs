//! `supabase-operator`: parses arguments and calls the library.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use supabase_operator::config::{Config, Images};
use supabase_operator::{doctor, offline, run, telemetry};

/// Runs complete Supabase projects on Kubernetes.
#[derive(Parser)]
#[command(name = "supabase-operator", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the operator.
    Run(Box<Config>),
    /// Print the `CustomResourceDefinitions`.
    Crds,
    /// Print every object of the `SupabaseProjects` in a file, without a cluster. Secrets of the same file are used,
    /// placeholders stand for all others.
    Render {
        /// YAML file; `-` is standard input.
        file: PathBuf,
    },
    /// Look at the database and the bucket of a project, and say in words what they can and what they lack. Of the bucket
    /// an object is put, read and deleted; nothing is left behind.
    Doctor {
        /// YAML file with a `SupabaseProject` and the Secrets that its `spec.database` and `spec.storage` name, or with the
        /// Secret of a database alone; `-` is standard input.
        file: PathBuf,
        #[command(flatten)]
        address: doctor::Address,
    },
    /// Print the SQL that prepares a project's database, for an administrator who runs it with psql.
    Sql {
        /// YAML file with a `SupabaseProject`; `-` is standard input.
        file: PathBuf,
        /// What the administrator is.
        #[arg(long, value_enum, default_value_t = doctor::Administrator::Superuser)]
        profile: doctor::Administrator,
        /// The user of the Secret that `spec.database` names, who gets access to what the operator remembers. Default: the
        /// one of the Secret, if the file holds it.
        #[arg(long)]
        user: Option<String>,
    },
    /// Print the releases and their images.
    Releases(Images),
    /// Print the version.
    Version,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Run(config) => start(*config),
        Command::Crds => offline::crds().map(|text| print!("{text}")).map_err(|error| error.to_string()),
        Command::Render { file } => {
            offline::render(&file).map(|text| print!("{text}")).map_err(|error| error.to_string())
        }
        Command::Doctor { file, address } => return examine(&file, &address),
        Command::Sql { file, profile, user } => {
            doctor::script(&file, profile, user).map(|text| print!("{text}")).map_err(|error| error.to_string())
        }
        Command::Releases(images) => images
            .catalogue()
            .map(|catalogue| print!("{}", offline::releases(&catalogue)))
            .map_err(|error| error.to_string()),
        Command::Version => {
            println!("supabase-operator {}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Success is a database that can be used.
#[tokio::main]
async fn examine(file: &Path, address: &doctor::Address) -> ExitCode {
    let _ = rustls::crypto::ring::default_provider().install_default();
    match doctor::examine(file, address).await {
        Ok(diagnosis) => {
            print!("{}", diagnosis.text);
            if diagnosis.usable { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn start(config: Config) -> Result<(), String> {
    telemetry::start_log(config.log_format, &config.log_level).map_err(|error| format!("--log-level: {error}"))?;
    // kube, sqlx and reqwest all use rustls; the provider is chosen once for the process.
    let _ = rustls::crypto::ring::default_provider().install_default();
    run::run(config).await.map_err(|error| error.to_string())
}
