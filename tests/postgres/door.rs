//! A door to a server that closes when it has let so many statements through: the operator dies after each of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub struct Door {
    pub port: u16,
    closed: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Door {
    pub async fn open(server: u16, statements: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let closed = Arc::new(AtomicBool::new(false));
        let state = Arc::new(State { left: AtomicUsize::new(statements), closed: closed.clone() });
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (state, server) = (state.clone(), TcpStream::connect(("127.0.0.1", server)).await.unwrap());
                tokio::spawn(async move { carry(client, server, &state).await });
            }
        });
        Self { port, closed, task }
    }

    /// Whether it closed before the client was done.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct State {
    left: AtomicUsize,
    closed: Arc<AtomicBool>,
}

/// Carries bytes both ways until one side ends, or the last statement that is let through has been answered: the answer
/// is not told.
async fn carry(mut client: TcpStream, mut server: TcpStream, state: &State) {
    let (mut requests, mut answers) = (vec![0; 16384], vec![0; 16384]);
    let mut messages = Messages::default();
    loop {
        if state.closed.load(Ordering::SeqCst) {
            return;
        }
        tokio::select! {
            read = client.read(&mut requests) => {
                let Ok(length @ 1..) = read else { return };
                let statements = messages.statements(&requests[..length]);
                if server.write_all(&requests[..length]).await.is_err() {
                    return;
                }
                for _ in 0..statements {
                    let left = state.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
                    if left == Ok(1) || left.is_err() {
                        let _ = server.read(&mut answers).await;
                        state.closed.store(true, Ordering::SeqCst);
                        return;
                    }
                }
            }
            read = server.read(&mut answers) => {
                let Ok(length @ 1..) = read else { return };
                if client.write_all(&answers[..length]).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// The frontend's side of the protocol: a first message without a type, then type, length and body.
#[derive(Default)]
struct Messages {
    pending: Vec<u8>,
    started: bool,
}

impl Messages {
    /// How many statements run by these bytes.
    fn statements(&mut self, bytes: &[u8]) -> usize {
        self.pending.extend_from_slice(bytes);
        let mut statements = 0;
        loop {
            let header = usize::from(self.started);
            let Some(length) = self.pending.get(header..header + 4) else { return statements };
            let end = header + u32::from_be_bytes(length.try_into().unwrap()) as usize;
            if self.pending.len() < end {
                return statements;
            }
            // Query, and Execute of the extended protocol.
            statements += usize::from(self.started && matches!(self.pending[0], b'Q' | b'E'));
            self.pending.drain(..end);
            self.started = true;
        }
    }
}
