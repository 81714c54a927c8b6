//! `[limits]`: every bound of the program that can be moved.
//!
//! Model: a table, one line for each bound: its key, what it bounds and what happens at it, and where
//! it goes. Defaults are those of the crates that keep the bounds; here is none.

use std::time::Duration;

use serde::Deserialize;

use super::{ConfigError, invalid};

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

            fn apply_counts(&self, limits: &mut zocp_node::Limits) -> Result<(), ConfigError> {
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
    peers_max => zre.peers_max;
    /// Connections from peers at once; further ones are refused.
    links_max => zre.links_max;
    /// Connections that have not said yet who they are; further ones wait.
    handshakes_max => handshakes_max;
    /// Octets of one frame; a peer that sends more is dropped.
    frame_len_max => zmtp.frame_len_max;
    /// Octets of one message; a peer that sends more is dropped.
    message_len_max => zmtp.message_len_max;
    /// Frames of one message on the wire; a peer that sends more is dropped.
    frames_max => zmtp.frames_max;
    /// Octets waiting for one peer above which callers are told that the bridge is busy.
    outgoing_whispers_max => outgoing_whispers_max;
    /// Octets of all that waits for one peer above which it is dropped and met afresh.
    output_len_max => zmtp.output_len_max;
    /// Octets of one ZOCP message; a longer one is ignored.
    zocp_message_len_max => model.message_len_max;
    /// Memory of one node's tree; a change beyond it is refused.
    tree_size_max => model.tree_size_max;
    /// Nesting of a node's tree and values.
    depth_max => model.depth_max;
    /// Capabilities of one node, in all its objects.
    capabilities_max => model.capabilities_max;
    /// Objects of one node.
    objects_max => model.objects_max;
    /// Octets of the name of a capability, an object or a method.
    name_len_max => model.name_len_max;
    /// Subscriptions of one peer, in each direction.
    subscriptions_max => model.subscriptions_max;
    /// Method calls that await one peer's answer; further ones are refused.
    calls_max => model.calls_max;
}

impl LimitsConfig {
    pub(super) fn apply(&self, limits: &mut zocp_node::Limits) -> Result<(), ConfigError> {
        self.apply_counts(limits)?;
        if let Some(seconds) = self.handshake_max {
            limits.handshake_max = Duration::try_from_secs_f64(seconds)
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
