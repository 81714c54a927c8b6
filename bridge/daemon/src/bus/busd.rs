//! The built-in bus, for a machine without any `dbus-daemon`.
//!
//! Model: `busd` on a thread of its own, with its own runtime. It never answers a call to a name that
//! nobody owns, so clients set a deadline of their own.

use std::thread::JoinHandle;

use futures_util::future::{Either, select};
use tokio::sync::{oneshot, watch};

/// A running `busd`.
#[derive(Debug)]
pub(super) struct Busd {
    stop: oneshot::Sender<()>,
    ended: watch::Receiver<bool>,
    thread: JoinHandle<()>,
}

impl Busd {
    /// Starts the bus; `Err` says why it does not listen.
    pub(super) async fn start(address: &str) -> Result<Self, String> {
        let (ready, listening) = oneshot::channel();
        let (stop, stopped) = oneshot::channel();
        let (end, ended) = watch::channel(false);
        let address = address.to_owned();
        let thread = std::thread::Builder::new()
            .name(String::from("busd"))
            .spawn(move || {
                zruntime::block_on(serve(address, ready, stopped));
                end.send_replace(true);
            })
            .map_err(|error| format!("no thread for busd: {error}"))?;
        listening
            .await
            .map_err(|_| String::from("busd ended at its start"))??;
        Ok(Self {
            stop,
            ended,
            thread,
        })
    }

    /// Waits until the bus has ended. Cancel safe.
    pub(super) async fn ended(&mut self) {
        // An error is the sender gone, which is the end too.
        let _ = self.ended.wait_for(|ended| *ended).await;
    }

    /// Ends the bus and waits until it has.
    pub(super) async fn stop(mut self) {
        // It may have ended by itself.
        let _ = self.stop.send(());
        let _ = self.ended.wait_for(|ended| *ended).await;
        if self.thread.join().is_err() {
            tracing::warn!("busd panicked");
        }
    }
}

async fn serve(
    address: String,
    ready: oneshot::Sender<Result<(), String>>,
    stopped: oneshot::Receiver<()>,
) {
    let mut bus = match busd::bus::Bus::for_address(Some(&address)).await {
        Ok(bus) => bus,
        Err(error) => {
            // Nobody waits for the answer: nobody wants the bus.
            let _ = ready.send(Err(format!("busd: {error:#}")));
            return;
        }
    };
    if ready.send(Ok(())).is_err() {
        return;
    }
    let outcome = {
        let run = std::pin::pin!(bus.run());
        match select(run, stopped).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right(_) => Ok(()),
        }
    };
    if let Err(error) = outcome {
        tracing::error!("busd: {error:#}");
    }
    if let Err(error) = bus.cleanup().await {
        tracing::debug!("busd: {error:#}");
    }
}
