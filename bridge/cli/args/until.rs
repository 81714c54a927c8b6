//! When a command that prints what comes ends by itself.

use std::time::Duration;

use tokio::time::sleep;

use crate::{
    exit::{Exit, Failure},
    scene::time,
};

/// When a command that prints what comes ends by itself.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(crate) struct Until {
    /// End after this many lines
    #[arg(short = 'n', long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// End after this time, 5 or 1.5s or 2m; with -n and fewer lines by then, with exit code 8
    #[arg(long = "for", value_name = "SECONDS", value_parser = time)]
    pub(crate) limit: Option<Duration>,
}

impl Until {
    /// Counts a line; whether it was the last one.
    pub(crate) fn is_last(&mut self) -> bool {
        match &mut self.count {
            Some(count) => {
                *count = count.saturating_sub(1);
                *count == 0
            }
            None => false,
        }
    }

    /// Done when the time is up; never without one.
    pub(crate) async fn time_is_up(self) {
        match self.limit {
            Some(limit) => sleep(limit).await,
            None => std::future::pending().await,
        }
    }

    /// How a command ends whose time is up: fewer lines than were asked for is an error.
    pub(crate) fn at_end_of_time(self) -> Result<(), Failure> {
        match self.count {
            Some(left) => {
                let text = format!("the time is up, and {left} more were to come");
                Err(Failure::new(Exit::Unavailable, text))
            }
            None => Ok(()),
        }
    }
}
