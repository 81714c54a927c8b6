//! `[limits]`: every bound of the program that can be moved.
//!
//! Model: a table, one line for each bound: its key, what it bounds and what happens at it, and where
//! it goes. Defaults are those of the crates that keep the bounds; here is none.

use std::time::Duration;

use serde::Deserialize;

use super::{ConfigError, invalid};
use crate::local;
use zocp_relay::services::ServiceLimits;
use zocp_wires as wires;

/// Makes the section, its overlay and its application from one table.
macro_rules! limits {
    (
        fixed: $($(#[doc = $doc:literal])+ $key:ident => $($field:ident).+;)+
        followed: $($(#[doc = $its_doc:literal])+ $its_key:ident => $($its_field:ident).+;)+
    ) => {
        /// `[limits]`: bounds. What is left open has its default.
        #[derive(Debug, Clone, Default, PartialEq, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct LimitsConfig {
            $($(#[doc = $doc])+ pub $key: Option<usize>,)+
            $($(#[doc = $its_doc])+ pub $its_key: Option<usize>,)+
            /// Seconds until a call of a service of another bus is answered with an error, where no rule says
            /// something else.
            /// Default: it waits as long as its caller does.
            pub answer_max: Option<f64>,
            /// Seconds for connect and handshake together; then the connection ends.
            pub handshake_max: Option<f64>,
        }

        impl LimitsConfig {
            pub(super) fn over(self, below: Self) -> Self {
                Self {
                    $($key: self.$key.or(below.$key),)+
                    $($its_key: self.$its_key.or(below.$its_key),)+
                    answer_max: self.answer_max.or(below.answer_max),
                    handshake_max: self.handshake_max.or(below.handshake_max),
                }
            }

            /// What is followed while the bridge runs and is different in `new`, a line for each.
            pub(super) fn followed(&self, new: &Self) -> Vec<String> {
                let mut lines = Vec::new();
                $(if self.$its_key != new.$its_key {
                    let key = stringify!($its_key);
                    lines.push(match new.$its_key {
                        Some(value) => format!("[limits] {key} = {value}"),
                        None => format!("[limits] {key} has its default"),
                    });
                })+
                if self.answer_max != new.answer_max {
                    lines.push(match new.answer_max {
                        Some(value) => format!("[limits] answer_max = {value}"),
                        None => "[limits] answer_max has its default".to_owned(),
                    });
                }
                lines
            }

            /// Without what is followed while the bridge runs.
            pub(super) fn fixed(&self) -> Self {
                Self {
                    $($its_key: None,)+
                    answer_max: None,
                    ..self.clone()
                }
            }

            fn apply_counts(&self, limits: &mut Bounds) -> Result<(), ConfigError> {
                $(if let Some(value) = self.$key {
                    if value == 0 {
                        return Err(invalid(concat!("limits.", stringify!($key)), &"must not be 0"));
                    }
                    limits.$($field).+ = value;
                })+
                $(if let Some(value) = self.$its_key {
                    if value == 0 {
                        let key = concat!("limits.", stringify!($its_key));
                        return Err(invalid(key, &"must not be 0"));
                    }
                    limits.$($its_field).+ = value;
                })+
                Ok(())
            }
        }
    };
}

limits! {
    fixed:
    /// Peers known at once; further ones are not admitted.
    peers_max => node.zre.peers_max;
    /// Those at one address; further ones are not admitted.
    peers_per_address_max => node.zre.peers_per_address_max;
    /// Connections from peers at once; further ones are refused.
    links_max => node.zre.links_max;
    /// Those from one address; further ones are refused.
    links_per_address_max => node.zre.links_per_address_max;
    /// Connections to peers that are being made because of what one address said; further ones wait.
    dials_per_address_max => node.zre.dials_per_address_max;
    /// Connections that have not said yet who they are; further ones wait.
    handshakes_max => node.handshakes_max;
    /// Those from one address; further ones are closed.
    handshakes_per_address_max => node.handshakes_per_address_max;
    /// Beacons a second that are looked at on a network; further ones are dropped.
    beacons_max => node.beacons_max;
    /// Those of one address.
    beacons_per_address_max => node.beacons_per_address_max;
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
    /// Memory of all nodes' trees; a change beyond it is refused.
    trees_size_max => node.model.trees_size_max;
    /// Nesting of a node's tree and values.
    depth_max => node.model.depth_max;
    /// Capabilities of one node, in all its objects.
    capabilities_max => node.model.capabilities_max;
    /// Objects of one node.
    objects_max => node.model.objects_max;
    /// Objects of all nodes.
    all_objects_max => node.model.all_objects_max;
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
    /// Wires that were made here; further ones are refused.
    wires_max => wires.wires_max;
    /// Wires of others that are shown; further ones are not.
    wires_seen_max => wires.wires_seen_max;
    followed:
    /// Services of one peer that are shown; further ones are not.
    imports_max => services.imports_max;
    /// Rules that programs add; further ones are refused.
    exports_max => services.exports_max;
    /// Programs of one peer's bus that call services here; further ones are refused.
    callers_max => services.callers_max;
    /// Calls of one of them that wait for answers; further ones are told that the bridge is busy.
    caller_calls_max => services.caller_calls_max;
    /// Octets of its calls that the bus has not taken, above which it is told so too.
    caller_queue_max => services.caller_queue_max;
    /// Calls that wait for one peer's services; further ones are told that the bridge is busy.
    service_calls_max => services.requests_max;
    /// Calls of services that wait for one who called them; further ones are told so too.
    calls_back_max => services.calls_back_max;
    /// Octets of a D-Bus message on the mesh; a longer one is refused.
    packet_len_max => services.packet_len_max;
    /// Octets of such messages that wait for one peer, above which calls are told that the bridge is
    /// busy.
    packets_queue_max => services.packets_queue_max;
}

/// Where bounds go.
#[derive(Debug, Clone, Default)]
pub(super) struct Bounds {
    pub(super) services: ServiceLimits,
    pub(super) node: zocp_node::Limits,
    pub(super) local: local::Limits,
    pub(super) wires: wires::Limits,
}

impl LimitsConfig {
    pub(super) fn apply(&self, limits: &mut Bounds) -> Result<(), ConfigError> {
        self.apply_counts(limits)?;
        if limits.services.packet_len_max > PACKET_LEN_MOST {
            let reason = format!("more than the {PACKET_LEN_MOST} octets of a D-Bus message");
            return Err(invalid("limits.packet_len_max", &reason));
        }
        if let Some(seconds) = self.handshake_max {
            limits.node.handshake_max = positive("limits.handshake_max", seconds)?;
        }
        if let Some(seconds) = self.answer_max {
            limits.services.answer_max = Some(positive("limits.answer_max", seconds)?);
        }
        Ok(())
    }
}

pub(super) fn positive(key: &'static str, seconds: f64) -> Result<Duration, ConfigError> {
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|duration| !duration.is_zero() && *duration <= SECONDS_MOST)
        .ok_or_else(|| invalid(key, &"is not a positive number of seconds"))
}

/// The D-Bus specification's.
const PACKET_LEN_MOST: usize = 128 << 20;
/// A day; more is a mistake.
const SECONDS_MOST: Duration = Duration::from_secs(24 * 60 * 60);
