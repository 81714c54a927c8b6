//! The reader of a node's events.
//!
//! Model: the actor sends batches of events through a bounded queue; [`Events`] takes them out one by one. When nobody
//! reads, the node stops reading from its peers, and TCP holds those back; commands that make events wait. So nothing
//! is lost, and nothing grows without bound.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::stream::{FusedStream, Stream};
use tokio::sync::mpsc;

use crate::event::Event;

/// The events of one node, in their order; a [`Stream`] that ends when the node does.
///
/// **Always read it:** a node whose events nobody takes stops reading from its peers.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use futures_util::StreamExt;
/// use zocp_node::{Config, Event, Node};
///
/// let (node, events) = Node::start(Config::new("lamp").with_loopback()).await?;
/// let mut networks = events.filter_map(async |event| match event {
///     Event::Networks(networks) => Some(networks),
///     _ => None,
/// });
/// let networks = std::pin::pin!(networks).next().await;
/// assert!(networks.is_some_and(|networks| networks[0].loopback));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Events {
    queue: mpsc::Receiver<Vec<Event>>,
    /// The rest of the batch that was received last.
    batch: std::vec::IntoIter<Event>,
    has_ended: bool,
}

impl Events {
    pub(crate) fn new(queue: mpsc::Receiver<Vec<Event>>) -> Self {
        Self {
            queue,
            batch: Vec::new().into_iter(),
            has_ended: false,
        }
    }

    /// The next event; `None` when the node has ended. Cancel-safe.
    pub async fn next(&mut self) -> Option<Event> {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    /// Waits for an event and appends it to `events`, with those that are there already, up to `limit` in all. Returns
    /// how many; 0 when the node has ended. Cancel-safe.
    pub async fn next_many(&mut self, events: &mut Vec<Event>, limit: usize) -> usize {
        let Some(first) = self.next().await else {
            return 0;
        };
        events.push(first);
        let before = events.len();
        events.extend(self.batch.by_ref().take(limit.saturating_sub(1)));
        1 + events.len() - before
    }

    /// The next event if there is one already.
    pub fn try_next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.batch.next() {
                return Some(event);
            }
            self.batch = self.queue.try_recv().ok()?.into_iter();
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        loop {
            if let Some(event) = self.batch.next() {
                return Poll::Ready(Some(event));
            }
            match ready!(self.queue.poll_recv(context)) {
                Some(batch) => self.batch = batch.into_iter(),
                None => {
                    self.has_ended = true;
                    return Poll::Ready(None);
                }
            }
        }
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.get_mut().poll(context)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.batch.len(), None)
    }
}

impl FusedStream for Events {
    fn is_terminated(&self) -> bool {
        self.has_ended
    }
}
