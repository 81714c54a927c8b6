//! `zocp trust` and `zocp distrust`: whose keys are trusted on a secure mesh.
//!
//! Model: what the bridge knows of keys is read at once (`keys`), and a text means one of them. What is sent to
//! the bridge is the whole key whose fingerprint was shown, so nothing can come between comparing and
//! trusting.

use std::io::{self, BufRead};

use serde_json::json;
use zocp_interfaces::TrustProxy;

use crate::{
    client::Client,
    exit::{Exit, Failure},
    keys::{KeyView, Keys, State, described, fingerprint_of},
    output::{Output, printable, table},
};

/// `zocp trust`.
pub(crate) async fn run(
    output: &Output,
    bus: Option<String>,
    who: Option<&str>,
    yes: bool,
) -> Result<(), Failure> {
    let client = Client::open(bus.as_deref()).await?;
    let keys = client.keys().await?;
    let Some(who) = who else {
        return list(output, &keys);
    };
    let found = keys.find(who)?;
    if !yes {
        compare(&found, &keys.fingerprint)?;
    }
    let bridge = TrustProxy::new(&client.connection).await?;
    let (key, lasting) = bridge.trust(&found.key).await?;
    told(output, &key, "trusted", lasting)?;
    // A node that is here trusts us already.
    if !client.is_here(&key).await? {
        eprintln!(
            "zocp: not connected yet; if the other end does not trust this bridge: `zocp trust {}` there",
            keys.fingerprint
        );
    }
    Ok(())
}

/// `zocp distrust`.
pub(crate) async fn undo(output: &Output, bus: Option<String>, who: &str) -> Result<(), Failure> {
    let client = Client::open(bus.as_deref()).await?;
    let found = client.keys().await?.find(who)?;
    let bridge = TrustProxy::new(&client.connection).await?;
    let (key, lasting) = bridge.distrust(&found.key).await?;
    if found.source == "configuration" {
        eprintln!("zocp: mesh.trusted still names it; take it out there, too");
    }
    told(output, &key, "distrusted", lasting)
}

fn told(output: &Output, key: &str, state: &str, lasting: bool) -> Result<(), Failure> {
    if !lasting {
        eprintln!("zocp: until the bridge ends: it has no directory for what outlives it");
    }
    let fingerprint = fingerprint_of(key);
    if output.json {
        let value = json!({
            "key": key,
            "fingerprint": fingerprint,
            "state": state,
            "lasting": lasting,
        });
        return Ok(output.value(&value)?);
    }
    Ok(output.line(&format!("{state}  {fingerprint}"))?)
}

/// Has the user compare the fingerprint with what the other's owner sees.
fn compare(found: &KeyView, own: &str) -> Result<(), Failure> {
    let described = printable(&described(found));
    eprintln!("zocp: {described}");
    eprintln!();
    eprintln!("  its fingerprint here     {}", found.fingerprint);
    eprintln!("  ours, for the other end  {own}");
    eprintln!();
    eprintln!(
        "On the other machine, `zocp trust` shows the two the other way round, and `zocp key show`"
    );
    eprint!("shows its own. Is the first one the same there, digit by digit? [y/N] ");
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if matches!(answer.trim().to_lowercase().as_str(), "y" | "yes") {
        return Ok(());
    }
    let failure = Failure::new(Exit::Failure, "it is not trusted");
    Err(failure.hint("after comparing, answer y, or say --yes"))
}

fn list(output: &Output, keys: &Keys) -> Result<(), Failure> {
    if output.json {
        return Ok(output.value(&keys.to_json())?);
    }
    output.line(&format!("this bridge  {}", keys.fingerprint))?;
    if keys.first_use {
        output.line("keys are trusted on first use")?;
    }
    let rows: Vec<Vec<String>> = keys.all.iter().map(row).collect();
    for cells in table(&rows) {
        output.line(cells.join("  ").trim_end())?;
    }
    Ok(())
}

fn row(key: &KeyView) -> Vec<String> {
    let (state, who) = match key.state {
        State::Trusted => ("trusted", format!("{}  ({})", key.name, key.source)),
        State::Distrusted => ("distrusted", key.name.clone()),
        State::Stranger => ("stranger", format!("{}  {}", key.address, key.uuid)),
        State::Unheard => ("unheard", String::new()),
    };
    vec![
        state.to_owned(),
        key.fingerprint.clone(),
        printable(who.trim_start()),
    ]
}
