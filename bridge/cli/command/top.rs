//! `zocp top`: the mesh in the terminal.

use std::io::{self, IsTerminal};

use zocp_client::{Actions, follow};
use zocp_top::Options;

use crate::{
    client::Client,
    command::bridge::end_signals,
    exit::{Exit, Failure},
};

pub(crate) async fn run(bus: Option<String>) -> Result<(), Failure> {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        let failure = Failure::new(Exit::Usage, "this is no terminal");
        return Err(
            failure.hint("`zocp watch` prints values as they come, for programs with --json")
        );
    }
    let listener = Client::open(bus.as_deref()).await?;
    let actor = listener.again().await?;
    let (followed, feed) = follow(listener.connection.clone());
    let actions = Actions::new(actor.connection.clone(), followed.clone());
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let options = Options { has_colour: !plain };
    let ended = end_signals(&[])?;
    tokio::select! {
        // The terminal is as it was before when the other futures are dropped.
        () = ended => Ok(()),
        lost = feed => {
            lost?;
            Err(Failure::new(Exit::NoBus, "the bus is gone"))
        }
        shown = zocp_top::run(options, followed, actions) => {
            shown.map_err(|error| Failure::new(Exit::Failure, error.to_string()))
        }
    }
}
