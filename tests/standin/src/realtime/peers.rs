//! Whether replicas could form a cluster: on the ports of epmd and `gen_rpc` each stand-in shows a digest of its cookie.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::checks::{Checks, Environment};

const PORTS: [u16; 2] = [4369, 5369];
const LIMIT: Duration = Duration::from_secs(2);

fn digest(cookie: &str) -> String {
    Sha256::digest(format!("standin {cookie}")).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Answers on both ports, where they are free.
pub async fn answer(checks: &Arc<Checks>, address: IpAddr, cookie: &str) {
    for port in PORTS {
        let listener = TcpListener::bind((address, port)).await.map_err(|error| error.to_string());
        let Some(listener) = checks.observe(format!("listen on {port}"), listener) else { continue };
        let digest = digest(cookie);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.write_all(digest.as_bytes()).await;
            }
        });
    }
}

/// Asks every peer that `DNS_NODES` names.
pub async fn ask(checks: &Checks, environment: &Environment, cookie: &str) {
    let Some(name) = environment.get("DNS_NODES").filter(|name| !name.is_empty()) else { return };
    let own: Option<IpAddr> = environment.get("POD_IP").and_then(|value| value.parse().ok());
    let found = tokio::net::lookup_host((name, 4369)).await;
    let Some(found) = checks.observe("DNS_NODES resolves", found.map_err(|error| error.to_string())) else { return };
    for peer in found.map(|address| address.ip()).filter(|address| Some(*address) != own) {
        for port in PORTS {
            checks.observe(format!("peer {peer}:{port}"), greet(peer, port, &digest(cookie)).await);
        }
    }
}

async fn greet(peer: IpAddr, port: u16, wanted: &str) -> Result<(), String> {
    let work = async {
        let mut stream = TcpStream::connect((peer, port)).await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        Ok::<_, std::io::Error>(text)
    };
    match tokio::time::timeout(LIMIT, work).await {
        Ok(Ok(text)) if text == wanted => Ok(()),
        Ok(Ok(_)) => Err("has another RELEASE_COOKIE".to_owned()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("does not answer".to_owned()),
    }
}
