//! One websocket: joins, heartbeats and broadcasts, as supabase-js speaks them.

use std::collections::HashMap;

use axum::extract::ws::{Message, WebSocket};
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;

use super::frame::{Frame, Version};
use super::hub::{Delivery, Hub, What};
use crate::token::Verifier;

pub struct Session {
    pub tenant: String,
    pub verifier: Verifier,
    pub version: Version,
    pub hub: Hub,
}

struct Channel {
    join_ref: Value,
    private: bool,
    hears_itself: bool,
    acknowledges: bool,
}

struct Socket {
    id: u64,
    session: Session,
    channels: HashMap<String, Channel>,
}

pub async fn run(mut socket: WebSocket, session: Session) {
    let mut deliveries = session.hub.listen();
    let mut state = Socket { id: rand::random(), session, channels: HashMap::new() };
    loop {
        let answers = tokio::select! {
            message = socket.recv() => match message {
                Some(Ok(Message::Text(text))) => Frame::parse(&text).map(|frame| state.take(&frame)).unwrap_or_default(),
                Some(Ok(Message::Binary(bytes))) => Frame::parse_binary(&bytes).map(|frame| state.take(&frame)).unwrap_or_default(),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                _ => return,
            },
            delivery = deliveries.recv() => match delivery {
                Ok(delivery) if delivery.tenant == state.session.tenant => match state.deliver(&delivery) {
                    Some(answers) => answers,
                    None => return,
                },
                Ok(_) | Err(RecvError::Lagged(_)) => continue,
                Err(RecvError::Closed) => return,
            },
        };
        for frame in answers {
            if socket.send(Message::Text(frame.write(state.session.version).into())).await.is_err() {
                return;
            }
        }
    }
}

impl Socket {
    fn take(&mut self, frame: &Frame) -> Vec<Frame> {
        match frame.event.as_str() {
            "heartbeat" => vec![frame.reply("ok", &json!({}))],
            "phx_join" => self.join(frame),
            "phx_leave" => {
                self.channels.remove(&frame.topic);
                let close = Frame { event: "phx_close".to_owned(), payload: json!({}), ..frame.clone() };
                vec![frame.reply("ok", &json!({})), close]
            }
            "access_token" => match frame.payload["access_token"].as_str().map(|token| self.accepts(token)) {
                Some(Err(error)) => {
                    self.channels.remove(&frame.topic);
                    let payload =
                        json!({"status": "error", "message": error, "extension": "system", "channel": frame.topic});
                    vec![Frame { event: "system".to_owned(), payload, ..frame.clone() }]
                }
                _ => Vec::new(),
            },
            _ if !self.channels.contains_key(&frame.topic) => {
                vec![frame.reply("error", &json!({"reason": "unmatched topic"}))]
            }
            "broadcast" => self.broadcast(frame),
            _ => vec![frame.reply("ok", &json!({}))],
        }
    }

    fn join(&mut self, frame: &Frame) -> Vec<Frame> {
        let refused = |reason: String| vec![frame.reply("error", &json!({"reason": reason}))];
        if !frame.topic.starts_with("realtime:") {
            return refused("unmatched topic".to_owned());
        }
        if let Some(Err(error)) = frame.payload["access_token"].as_str().map(|token| self.accepts(token)) {
            return refused(format!("InvalidJWTToken: {error}"));
        }
        let config = &frame.payload["config"];
        let channel = Channel {
            join_ref: if frame.join_ref.is_null() { frame.reference.clone() } else { frame.join_ref.clone() },
            private: config["private"] == true,
            hears_itself: config["broadcast"]["self"] == true,
            acknowledges: config["broadcast"]["ack"] == true,
        };
        self.channels.insert(frame.topic.clone(), channel);
        // The client compares these with its own and wants an id for each; nothing will ever be sent for them.
        let wanted = config["postgres_changes"].as_array().cloned().unwrap_or_default();
        let numbered = wanted.into_iter().zip(1..).map(|(mut change, id)| {
            change["id"] = json!(id);
            change
        });
        let reply = frame.reply("ok", &json!({"postgres_changes": numbered.collect::<Vec<_>>()}));
        let presence =
            Frame { event: "presence_state".to_owned(), payload: json!({}), reference: Value::Null, ..frame.clone() };
        vec![reply, presence]
    }

    fn broadcast(&self, frame: &Frame) -> Vec<Frame> {
        let Some(channel) = self.channels.get(&frame.topic) else { return Vec::new() };
        let what =
            What::Broadcast { topic: frame.topic.clone(), private: channel.private, payload: frame.payload.clone() };
        self.session.hub.send(Delivery { tenant: self.session.tenant.clone(), from: Some(self.id), what });
        if channel.acknowledges { vec![frame.reply("ok", &json!({}))] } else { Vec::new() }
    }

    /// `None` ends the socket.
    fn deliver(&self, delivery: &Delivery) -> Option<Vec<Frame>> {
        let What::Broadcast { topic, private, payload } = &delivery.what else { return None };
        let channel = self.channels.get(topic).filter(|channel| channel.private == *private);
        let own = delivery.from == Some(self.id);
        let Some(channel) = channel.filter(|channel| !own || channel.hears_itself) else { return Some(Vec::new()) };
        Some(vec![Frame {
            join_ref: channel.join_ref.clone(),
            reference: Value::Null,
            topic: topic.clone(),
            event: "broadcast".to_owned(),
            payload: payload.clone(),
        }])
    }

    fn accepts(&self, token: &str) -> Result<(), String> {
        accepted(&self.session.verifier, token)
    }
}

/// Realtime wants a role, a time of issue and an expiry in every token.
pub fn accepted(verifier: &Verifier, token: &str) -> Result<(), String> {
    let claims = verifier.verify(token)?;
    if !claims["role"].is_string() {
        return Err("claim role is missing".to_owned());
    }
    claims["iat"].is_number().then_some(()).ok_or_else(|| "claim iat is missing".to_owned())
}
