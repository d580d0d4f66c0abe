//! What sockets of this process hear from each other. Replicas do not pass broadcasts on: only [`super::peers`] stands
//! for their cluster.

use serde_json::Value;
use tokio::sync::broadcast;

#[derive(Clone, Debug)]
pub struct Delivery {
    pub tenant: String,
    /// The socket that sent it, if one did.
    pub from: Option<u64>,
    pub what: What,
}

#[derive(Clone, Debug)]
pub enum What {
    Broadcast {
        topic: String,
        private: bool,
        payload: Value,
    },
    /// The tenant's keys changed.
    Disconnect,
}

#[derive(Clone)]
pub struct Hub(broadcast::Sender<Delivery>);

impl Hub {
    pub fn new() -> Self {
        Self(broadcast::channel(1024).0)
    }

    pub fn listen(&self) -> broadcast::Receiver<Delivery> {
        self.0.subscribe()
    }

    /// Nobody listening is no failure.
    pub fn send(&self, delivery: Delivery) {
        let _ = self.0.send(delivery);
    }
}
