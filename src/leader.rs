//! The leader lease: one instance of the operator writes, the others keep their watches warm.

use kube::Client;
use kube_lease_manager::{LeaseManager, LeaseManagerBuilder, LeaseManagerError};
use tokio::task::JoinHandle;

use crate::cluster::Leading;
use crate::config::Lease;

/// Seconds without renewal after which another instance takes over, and how long before that a renewal is due.
const DURATION: u64 = 15;
const GRACE: u64 = 5;

/// A lease that is being held or waited for.
pub struct Leadership {
    pub leading: Leading,
    task: JoinHandle<Result<LeaseManager, LeaseManagerError>>,
}

impl Leadership {
    /// # Errors
    /// The Lease cannot be read or made.
    pub async fn seek(client: Client, lease: &Lease) -> Result<Self, LeaseManagerError> {
        let manager = LeaseManagerBuilder::new(client, &lease.name)
            .with_namespace(&lease.namespace)
            .with_identity(&lease.identity)
            .with_duration(DURATION)
            .with_grace(GRACE)
            .build()
            .await?;
        let (leading, task) = manager.watch().await;
        Ok(Self { leading, task })
    }

    /// Gives the lease back, so that the next instance need not wait for it to run out. The task gives up when nobody
    /// listens to it any more, so every copy of `leading` must be gone.
    pub async fn release(self) {
        drop(self.leading);
        match self.task.await {
            Ok(Ok(manager)) => {
                if let Err(error) = manager.release().await {
                    tracing::warn!(%error, "the lease was not released; it runs out by itself");
                }
            }
            Ok(Err(error)) => tracing::warn!(%error, "the lease was lost"),
            Err(error) => tracing::warn!(%error, "the lease's task ended"),
        }
    }
}
