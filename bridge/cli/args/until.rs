//! When a command that prints what comes ends by itself.

use std::time::Duration;

use tokio::time::sleep;

use crate::exit::{Exit, Failure};

/// When a command that prints what comes ends by itself.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(crate) struct Until {
    /// End after this many values and signals, or lines of `monitor`
    #[arg(short = 'n', long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// End after this time, 5 or 1.5s or 2m; with -n and fewer by then, with exit code 8
    #[arg(long = "for", value_name = "TIME", value_parser = time)]
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
                let text =
                    format!("the time is up: {left} of the lines that -n asks for did not come");
                Err(Failure::new(Exit::Unavailable, text))
            }
            None => Ok(()),
        }
    }
}

/// A time as people write it: `5`, `5s`, `500ms` or `2m`.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    let units = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("", 1.0)];
    let unit = units
        .iter()
        .find_map(|(name, seconds)| Some((text.strip_suffix(name)?, seconds)));
    let seconds = unit.and_then(|(number, seconds)| Some(number.parse::<f64>().ok()? * seconds));
    match seconds.map(Duration::try_from_secs_f64) {
        Some(Ok(time)) => Ok(time),
        _ => Err("write a time such as 5s, 500ms or 2m".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        assert_eq!(time("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(time("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(time("1.5"), Ok(Duration::from_millis(1500)));
        assert_eq!(time("2m"), Ok(Duration::from_secs(120)));
        for text in ["", "s", "-1s", "NaN", "inf", "5h", "five", "1e300s"] {
            assert!(time(text).is_err(), "{text}");
        }
    }
}
