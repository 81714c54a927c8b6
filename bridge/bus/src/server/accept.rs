//! Taking connections in.
//!
//! Limits: as many wait for their `Hello` as [`Limits::incomplete_max`](crate::Limits) says; others wait in the kernel.

use std::{io, sync::Arc, time::Duration};

use tokio::{net::UnixListener, sync::Semaphore, task::JoinSet};

use super::{Shared, connection};

/// Takes connections in for ever. All of them end with it.
pub(super) async fn accept(listener: UnixListener, shared: Arc<Shared>) {
    let incomplete = Arc::new(Semaphore::new(shared.limits.incomplete_max));
    let mut connections = JoinSet::new();
    loop {
        while let Some(ended) = connections.try_join_next() {
            if let Err(error) = ended {
                tracing::error!(%error, "a connection of the bus failed");
            }
        }
        let Ok(permit) = incomplete.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let shared = shared.clone();
                connections.spawn(async move {
                    let served: io::Result<()> = connection::serve(shared, stream, permit).await;
                    if let Err(error) = served {
                        tracing::debug!(%error, "a connection of the bus ended");
                    }
                });
            }
            Err(error) => {
                // Too many files are open: there is nothing to wait for but time.
                tracing::warn!(%error, "the bus cannot take a connection in");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Until the next attempt.
const PAUSE: Duration = Duration::from_millis(100);
