//! The arguments of `zocp export`.

use std::collections::HashMap;

use clap_complete::engine::ArgValueCandidates;
use zbus::Variant;
use zocp_daemon::config::ServicePattern;

use crate::complete;

/// What is exported, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct ExportArgs {
    /// The service: its name, org.example.Name, or org.example.* for all below it; without it, the rules by which
    /// services are exported now are listed
    #[arg(value_parser = service_pattern, add = ArgValueCandidates::new(complete::services))]
    pub(crate) service: Option<String>,
    /// Only these methods: interface.member@/path, where the member may be *; all by default
    #[arg(long, value_name = "RULE", requires = "service")]
    pub(crate) call: Vec<String>,
    /// Only these signals, written the same way; none with --call, else all by default
    #[arg(long, value_name = "RULE", requires = "service")]
    pub(crate) broadcast: Vec<String>,
    /// Nothing but to know of it, to introspect and to ping it
    #[arg(long, requires = "service")]
    pub(crate) see: bool,
    /// Record what is asked, and print at the end the rules that allow exactly that
    ///
    /// Without --see, --call and --broadcast everything is allowed meanwhile; with them only that, and
    /// what is refused is recorded too.
    #[arg(long, requires = "service")]
    pub(crate) learn: bool,
    /// Only this peer, by name, UUID or key (key:…); every peer by default
    #[arg(long, value_name = "PEER", requires = "service", add = ArgValueCandidates::new(complete::nodes))]
    pub(crate) peer: Vec<String>,
    /// Only peers of this venue, or of every venue (*); those of the own one by default
    #[arg(long, value_name = "VENUE", requires = "service")]
    pub(crate) venue: Vec<String>,
}

impl ExportArgs {
    /// As the bridge takes them: everything, unless something is named.
    pub(crate) fn rules(&self) -> HashMap<&'static str, Variant<'_>> {
        let list = |texts: &[String]| Variant::new(texts.to_vec());
        let mut rules = HashMap::new();
        if !self.see && self.call.is_empty() && self.broadcast.is_empty() {
            rules.insert("talk", Variant::new(true));
        } else {
            rules.insert("see", Variant::new(self.see));
            rules.insert("call", list(&self.call));
            rules.insert("broadcast", list(&self.broadcast));
        }
        if self.learn {
            rules.insert("learn", Variant::new(true));
        }
        if !self.peer.is_empty() {
            rules.insert("peers", list(&self.peer));
        }
        if !self.venue.is_empty() {
            rules.insert("venues", list(&self.venue));
        }
        rules
    }
}

/// A text that selects services, as it is written.
pub(super) fn service_pattern(text: &str) -> Result<String, String> {
    let pattern = ServicePattern::parse(text).map_err(|error| error.to_string());
    pattern.map(|_| text.to_owned())
}
