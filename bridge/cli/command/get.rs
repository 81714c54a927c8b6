//! `zocp get NODE NAME`: print a value.

use super::find_capability;
use crate::{
    client::Client,
    exit::{Exit, Failure},
    output::Output,
    value::plain,
};

pub(crate) async fn run(
    output: &Output,
    bus: Option<String>,
    node: &str,
    name: &str,
) -> Result<(), Failure> {
    let client = Client::open(bus.as_deref()).await?;
    let (_, _, capability) = find_capability(&client, node, name).await?;
    let Some((value, _)) = capability.value else {
        let message = format!("\"{name}\" has no value that can be read");
        return Err(Failure::new(Exit::Refused, message));
    };
    if output.json {
        output.value(&value)?
    } else {
        output.plain_value(&plain(&value))?
    }
    Ok(())
}
