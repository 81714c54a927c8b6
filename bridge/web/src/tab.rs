//! One WebSocket: what a tab is told, and what it asks for.
//!
//! Model: a tab remembers the version of the model up to which it was told. When the model has changed, at most every
//! [`UPDATE_TIME`] and not before what was sent last is written, it is told what changed since. So a tab that is slow
//! has no queue: it is told the newest when it takes something again.
//! Invariants: TAB-1. every request has one reply. TAB-2. a role does what it may and nothing else.
//! Limits: [`REQUESTS_MAX`] requests under way; a tab that takes nothing, or answers no ping, for [`SILENCE_MAX`] is
//! closed.

use std::sync::Arc;

use axum::{
    extract::ws::{Message, WebSocket},
    http::HeaderMap,
};
use serde_json::{Map, Value};
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep_until, timeout},
};
use zocp_client::Refused;

use crate::{
    access::{Granted, Role},
    app::App,
    limits::{PING_TIME, REQUESTS_MAX, SILENCE_MAX, UPDATE_TIME},
    message,
    tools::SceneVerb,
};

/// Serves a tab until it is gone.
pub(crate) async fn run(socket: WebSocket, app: Arc<App>, headers: &HeaderMap, granted: Granted) {
    let Granted { role, end } = granted;
    let mut tab = Tab {
        socket,
        app,
        role,
        told: 0,
        number: 0,
        requests: JoinSet::new(),
    };
    tokio::select! {
        // What it asked for and waits for a reply ends with it.
        () = end.cancelled() => tracing::debug!("the session of a tab ended"),
        _ = tab.serve(headers) => tracing::debug!("a tab is gone"),
    }
}

struct Tab {
    socket: WebSocket,
    app: Arc<App>,
    role: Role,
    /// The version of the model up to which it was told.
    told: u64,
    /// How many wholes and changes it was sent.
    number: u64,
    /// Their replies.
    requests: JoinSet<String>,
}

impl Tab {
    /// `None` when the tab is gone.
    async fn serve(&mut self, headers: &HeaderMap) -> Option<()> {
        let mut followed = self.app.followed.clone();
        let whole = {
            let model = followed.model();
            self.told = model.version();
            message::whole(&model, self.role, 0)
        };
        self.send(Message::text(message::text(whole))).await?;
        let (mut is_due, mut next) = (true, Instant::now());
        let (mut heard, mut ping) = (Instant::now(), interval(PING_TIME));
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // Each is cancel safe: what is not taken stays in the socket, the set or the channel.
                received = self.socket.recv() => {
                    heard = Instant::now();
                    let reply = self.received(received?.ok()?)?;
                    if let Some(reply) = reply {
                        self.send(Message::text(reply)).await?;
                    }
                }
                Some(Ok(reply)) = self.requests.join_next() => self.send(Message::text(reply)).await?,
                is_fed = followed.changed(), if !is_due => {
                    if !is_fed {
                        return None;
                    }
                    is_due = true;
                }
                () = sleep_until(next), if is_due => {
                    is_due = false;
                    next = Instant::now() + UPDATE_TIME;
                    self.update().await?;
                }
                _ = ping.tick() => {
                    if heard.elapsed() > SILENCE_MAX {
                        return None;
                    }
                    // The session is in use.
                    self.app.granted(headers)?;
                    self.send(Message::Ping(Vec::new().into())).await?;
                }
            }
        }
    }

    async fn update(&mut self) -> Option<()> {
        let change = {
            let model = self.app.followed.model();
            let change = message::change(&model, self.told, self.role, self.number + 1);
            self.told = model.version();
            change
        };
        if let Some(change) = change {
            self.number += 1;
            self.send(Message::text(message::text(change))).await?;
        }
        Some(())
    }

    async fn send(&mut self, message: Message) -> Option<()> {
        let sent: Result<Result<(), _>, _> = timeout(SILENCE_MAX, self.socket.send(message)).await;
        sent.ok()?.ok()
    }

    /// Starts what is asked for; a reply where that is refused at once. `None` when the tab is gone.
    fn received(&mut self, received: Message) -> Option<Option<String>> {
        let text = match received {
            Message::Text(text) => text,
            Message::Close(_) => return None,
            _ => return Some(None),
        };
        let request = serde_json::from_str::<Map<String, Value>>(&text).unwrap_or_default();
        let number = request.get("request").and_then(Value::as_u64)?;
        let refused = |why: &str| Some(Some(message::reply(number, Err(why.to_owned()))));
        let wanted = request
            .get("do")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let Some(needed) = needed(wanted) else {
            return refused("unknown request");
        };
        if self.role < needed {
            let why = format!(
                "the role {} may not do that: it wants {}",
                self.role.word(),
                needed.word()
            );
            return refused(&why);
        }
        if self.requests.len() >= REQUESTS_MAX {
            return refused("too much at once: try again");
        }
        let app = Arc::clone(&self.app);
        self.requests.spawn(async move {
            let done = done(&app, &request).await;
            message::reply(number, done.map_err(|Refused(why)| why))
        });
        Some(None)
    }
}

/// The role that something needs; `None` for what is nothing.
fn needed(wanted: &str) -> Option<Role> {
    Some(match wanted {
        "doctor" | "scenes" | "scene-diff" => Role::Look,
        "set" | "call" => Role::Play,
        "wire" | "unwire" | "scene-save" | "scene-load" => Role::Patch,
        _ => return None,
    })
}

async fn done(app: &App, request: &Map<String, Value>) -> Result<Value, Refused> {
    let nothing = Value::Null;
    let part = |key: &str| request.get(key).unwrap_or(&nothing);
    let text = |key: &str| match part(key) {
        Value::String(text) => Ok(text.as_str()),
        _ => Err(Refused(format!("\"{key}\" has to be text"))),
    };
    let wanted = text("do")?;
    match wanted {
        "set" => app
            .actions
            .set(text("capability")?, part("value"))
            .await
            .map(|()| Value::Null),
        "call" => {
            let none = Vec::new();
            let arguments = part("arguments").as_array().unwrap_or(&none);
            app.actions
                .call(text("method")?, arguments)
                .await
                .map(Value::Array)
        }
        "wire" => {
            let none = Map::new();
            let options = part("options").as_object().unwrap_or(&none);
            app.actions
                .wire(text("from")?, text("to")?, options)
                .await
                .map(|()| Value::Null)
        }
        "unwire" => {
            let number = part("number")
                .as_u64()
                .and_then(|number| u32::try_from(number).ok());
            let number =
                number.ok_or_else(|| Refused("\"number\" has to be that of a wire".to_owned()))?;
            app.actions.unwire(number).await.map(|()| Value::Null)
        }
        "doctor" => app.tools.doctor().await,
        "scenes" => app.tools.scenes().await,
        "scene-save" => app.tools.scene(SceneVerb::Save, text("name")?).await,
        "scene-diff" => app.tools.scene(SceneVerb::Diff, text("name")?).await,
        "scene-load" => app.tools.scene(SceneVerb::Load, text("name")?).await,
        other => Err(Refused(format!("unknown request: {other}"))),
    }
}
