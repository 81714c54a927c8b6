//! `[limits]`: every bound of the program that can be moved.
//!
//! Model: a table, one line for each bound: its key, what it bounds and what happens at it, and where
//! it goes. Defaults are those of the crates that keep the bounds; here is none.

use std::time::Duration;

use serde::Deserialize;

use super::{ConfigError, invalid};
use crate::local;

/// Makes the section, its overlay and its application from one table.
macro_rules! limits {
    ($($(#[doc = $doc:literal])+ $key:ident => $($field:ident).+;)+) => {
        /// `[limits]`: bounds. What is left open has its default.
        #[derive(Debug, Clone, Default, PartialEq, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct LimitsConfig {
            $($(#[doc = $doc])+ pub $key: Option<usize>,)+
            /// Seconds for connect and handshake together; then the connection ends.
            pub handshake_max: Option<f64>,
        }

        impl LimitsConfig {
            pub(super) fn over(self, below: Self) -> Self {
                Self {
                    $($key: self.$key.or(below.$key),)+
                    handshake_max: self.handshake_max.or(below.handshake_max),
                }
            }

            fn apply_counts(&self, limits: &mut Bounds) -> Result<(), ConfigError> {
                $(if let Some(value) = self.$key {
                    if value == 0 {
                        return Err(invalid(concat!("limits.", stringify!($key)), &"must not be 0"));
                    }
                    limits.$($field).+ = value;
                })+
                Ok(())
            }
        }
    };
}

limits! {
    /// Peers known at once; further ones are not admitted.
    peers_max => node.zre.peers_max;
    /// Connections from peers at once; further ones are refused.
    links_max => node.zre.links_max;
    /// Connections that have not said yet who they are; further ones wait.
    handshakes_max => node.handshakes_max;
    /// Octets of one frame; a peer that sends more is dropped.
    frame_len_max => node.zmtp.frame_len_max;
    /// Octets of one message; a peer that sends more is dropped.
    message_len_max => node.zmtp.message_len_max;
    /// Frames of one message on the wire; a peer that sends more is dropped.
    frames_max => node.zmtp.frames_max;
    /// Octets waiting for one peer above which callers are told that the bridge is busy.
    outgoing_whispers_max => node.outgoing_whispers_max;
    /// Octets of all that waits for one peer above which it is dropped and met afresh.
    output_len_max => node.zmtp.output_len_max;
    /// Octets of one ZOCP message; a longer one is ignored.
    zocp_message_len_max => node.model.message_len_max;
    /// Memory of one node's tree; a change beyond it is refused.
    tree_size_max => node.model.tree_size_max;
    /// Nesting of a node's tree and values.
    depth_max => node.model.depth_max;
    /// Capabilities of one node, in all its objects.
    capabilities_max => node.model.capabilities_max;
    /// Objects of one node.
    objects_max => node.model.objects_max;
    /// Octets of the name of a capability, an object or a method.
    name_len_max => node.model.name_len_max;
    /// Subscriptions of one peer, in each direction.
    subscriptions_max => node.model.subscriptions_max;
    /// Method calls that await one peer's answer; further ones are refused.
    calls_max => node.model.calls_max;
    /// Values and methods that programs publish, all together; further ones are refused.
    publications_max => local.publications_max;
    /// Those of one program; further ones are refused.
    publications_per_program_max => local.publications_per_program_max;
}

/// Where bounds go.
#[derive(Debug, Clone, Default)]
pub(super) struct Bounds {
    pub(super) node: zocp_node::Limits,
    pub(super) local: local::Limits,
}

impl LimitsConfig {
    pub(super) fn apply(&self, limits: &mut Bounds) -> Result<(), ConfigError> {
        self.apply_counts(limits)?;
        if let Some(seconds) = self.handshake_max {
            limits.node.handshake_max = Duration::try_from_secs_f64(seconds)
                .ok()
                .filter(|duration| !duration.is_zero())
                .ok_or_else(|| {
                    invalid(
                        "limits.handshake_max",
                        &"is not a positive number of seconds",
                    )
                })?;
        }
        Ok(())
    }
}
