//! The arguments of `zocp scene`.

use std::time::Duration;

use clap::{Subcommand, ValueEnum};
use clap_complete::engine::ArgValueCandidates;

use super::until::time;
use crate::complete;

/// What is done with scenes.
#[derive(Debug, Subcommand)]
pub(crate) enum SceneCommand {
    /// Keep the values that can be written, and the wires
    Save {
        /// The name of the scene; one of that name is replaced
        #[arg(add = ArgValueCandidates::new(complete::scenes))]
        name: String,
        #[command(flatten)]
        parts: SceneParts,
    },
    /// Restore values and wires, and report what could not be restored
    ///
    /// Nodes are known by their UUIDs, or by their names where these are unique. What a node does not keep
    /// because another value did not allow it yet is set again, until nothing changes any more. Nothing is taken
    /// away: wires that are not in the scene stay.
    Load {
        /// The name of the scene
        #[arg(add = ArgValueCandidates::new(complete::scenes))]
        name: String,
        #[command(flatten)]
        parts: SceneParts,
        /// Fade: numbers and vectors move to their values in this time, such as 5s, 500ms or 2m
        ///
        /// Each is set at most 25 times a second, all together 1000 times. They end on the very values of the
        /// scene. Ctrl-C leaves everything where it is by then.
        #[arg(long, value_name = "TIME", value_parser = fade_time)]
        over: Option<Duration>,
        /// When values that have none between them are switched in a fade: text, truth, lists
        #[arg(long, value_enum, default_value = "start", requires = "over")]
        switch: Switch,
    },
    /// Keep the wires of a scene there, until Ctrl-C
    ///
    /// What is missing is wired as soon as its nodes are here, also when somebody takes it away. Values are left as they
    /// are: `load` sets them.
    Hold {
        /// The name of the scene
        #[arg(add = ArgValueCandidates::new(complete::scenes))]
        name: String,
        #[command(flatten)]
        parts: SceneParts,
        /// Remove every wire that is not in the scene, whoever made it
        #[arg(long)]
        exclusive: bool,
    },
    /// List the scenes
    List,
    /// Show where the present differs from a scene
    Diff {
        /// The name of the scene
        #[arg(add = ArgValueCandidates::new(complete::scenes))]
        name: String,
        #[command(flatten)]
        parts: SceneParts,
    },
}

/// Which parts of a scene are meant.
#[derive(Debug, clap::Args)]
pub(crate) struct SceneParts {
    /// Only these, NODE or NODE:CAPABILITY with * for any text, and the wires between them; all by default
    #[arg(value_name = "PART")]
    pub(crate) only: Vec<String>,
    /// Not these, written in the same way, nor the wires that begin or end there; may be repeated
    #[arg(long, value_name = "PART")]
    pub(crate) except: Vec<String>,
}

/// When a fade switches what has no values between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    /// Before anything moves
    Start,
    /// When everything has arrived
    End,
}

/// How long a fade takes.
fn fade_time(text: &str) -> Result<Duration, String> {
    match time(text)? {
        time if time <= OVER_MAX => Ok(time),
        _ => Err("a fade takes an hour at most".to_owned()),
    }
}

const OVER_MAX: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fade_takes_an_hour_at_most() {
        assert_eq!(fade_time("60m"), Ok(OVER_MAX));
        assert!(fade_time("61m").is_err());
    }
}
