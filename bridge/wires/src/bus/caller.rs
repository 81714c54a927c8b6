//! The connection on which wires call methods of services.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    sync::{Notify, oneshot},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use zbus::{Message, message::Type};

use super::{ANSWER_MAX, CallError, serve};
use zocp_dbus::{
    connection::{BusConnection, Handler},
    message::Outgoing,
    server::BusContext,
};

/// The handle of the connection. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Caller {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    connection: BusConnection,
    /// The longest message that the bus accepts.
    message_len_max: AtomicUsize,
    wanted: Notify,
    /// The receivers of replies, by the serial of the call.
    /// Locked because workers of wires make calls, and the task of the connection gets the replies.
    pending: Mutex<HashMap<NonZeroU32, oneshot::Sender<Message>>>,
}

impl Caller {
    /// Starts the connection; it ends when `stop` is cancelled.
    pub(crate) fn start(&self, tasks: &TaskTracker, context: &BusContext, stop: CancellationToken) {
        let address = context.address().clone();
        self.shared
            .message_len_max
            .store(context.message_len_max(), Ordering::Relaxed);
        let caller = self.clone();
        tasks.spawn(async move {
            let mut handler = CallerHandler {
                caller: caller.clone(),
            };
            // When the connection is lost, every waiting call fails.
            let on_change = |is_connected: bool| {
                if !is_connected {
                    caller.pending().clear();
                }
            };
            let shared = &caller.shared;
            serve(
                &shared.connection,
                address,
                &shared.wanted,
                &mut handler,
                on_change,
                stop,
            )
            .await;
        });
    }

    /// Sends a call once the queue is not full, and waits for its reply.
    pub(super) async fn call(&self, call: Outgoing) -> Result<Message, CallError> {
        let max = self.shared.message_len_max.load(Ordering::Relaxed);
        if call.data().len() > max {
            return Err(CallError::TooLarge { max });
        }
        self.shared.wanted.notify_one();
        self.shared.connection.room().await;
        let serial = call.serial();
        let (sender, answer) = oneshot::channel();
        self.pending().insert(serial, sender);
        self.shared.connection.push(call);
        let Ok(answer) = timeout(ANSWER_MAX, answer).await else {
            self.pending().remove(&serial);
            return Err(CallError::Timeout);
        };
        let answer = answer.map_err(|_| CallError::Lost)?;
        let header = answer.header();
        if header.message_type() != Type::Error {
            return Ok(answer.clone());
        }
        let name = header.error_name().map(ToString::to_string);
        Err(CallError::Answered {
            name: name.unwrap_or_default(),
            text: answer.body().deserialize::<String>().unwrap_or_default(),
        })
    }

    fn pending(&self) -> MutexGuard<'_, HashMap<NonZeroU32, oneshot::Sender<Message>>> {
        let pending = &self.shared.pending;
        pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct CallerHandler {
    caller: Caller,
}

impl Handler for CallerHandler {
    fn hear(&mut self, message: Message) {
        let serial = message.header().reply_serial();
        let waiting = serial.and_then(|serial| self.caller.pending().remove(&serial));
        if let Some(waiting) = waiting {
            // The caller may have stopped waiting.
            waiting.send(message).ok();
        }
    }
}
