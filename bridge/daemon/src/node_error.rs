//! The one table from failures of the mesh to D-Bus errors: the same cause gives the same error everywhere.
//!
//! Spec: docs/reference/dbus.md, "Errors".

use zocp_dbus::errors::Refusal;
use zocp_interfaces::LOCAL_PATH;
use zocp_node::{
    Invalid, NodeError,
    model::{CallError, PublishError, SetError},
};

use crate::view::inbound::unfit;

/// The D-Bus error for a failure of the mesh. `node` is whose it is and `what` the member or capability that was asked
/// for; both are for the text.
pub(crate) fn refusal(error: NodeError, node: &str, what: &str) -> Refusal {
    match error {
        NodeError::NodeGone(_) => Refusal::NodeGone(node.to_owned()),
        NodeError::Busy => Refusal::Busy(format!("{node}: the send queue is full")),
        NodeError::Timeout => Refusal::Timeout(format!("{node} did not answer")),
        NodeError::NoChannels => Refusal::NotSupported(format!("{node} does not relay streams")),
        NodeError::NotSupported => Refusal::NotSupported(format!("{node} does not support calls")),
        NodeError::Remote(remote) => Refusal::Remote {
            error: remote.name,
            message: remote.message,
        },
        NodeError::Invalid(Invalid::Set(error)) => refused_set(error, node, what),
        NodeError::Invalid(Invalid::Call(error)) => refused_call(error, node, what),
        NodeError::Invalid(Invalid::Publish(error)) => refused_publication(error, what),
        NodeError::Invalid(reason) => Refusal::InvalidArgs(format!("{what}: {reason}")),
        error => Refusal::Failed(format!("{what}: {error}")),
    }
}

fn refused_set(error: SetError, node: &str, what: &str) -> Refusal {
    match error {
        SetError::NodeGone => Refusal::NodeGone(node.to_owned()),
        SetError::UnknownCapability => Refusal::UnknownProperty {
            path: node.to_owned(),
            property: what.to_owned(),
        },
        SetError::Value(error) => unfit(error, what),
        error => Refusal::InvalidArgs(format!("{what}: {error}")),
    }
}

fn refused_call(error: CallError, node: &str, what: &str) -> Refusal {
    match error {
        CallError::NodeGone => Refusal::NodeGone(node.to_owned()),
        CallError::NotSupported => Refusal::NotSupported(format!("{node} does not support calls")),
        CallError::UnknownMethod => Refusal::UnknownMethod {
            path: node.to_owned(),
            member: what.to_owned(),
        },
        CallError::WrongCount { .. } | CallError::TooDeep => {
            Refusal::InvalidArgs(format!("{what}: {error}"))
        }
        error => Refusal::Busy(format!("{what}: {error}")),
    }
}

fn refused_publication(error: PublishError, what: &str) -> Refusal {
    match error {
        PublishError::Value(error) => unfit(error, what),
        PublishError::UnknownCapability => Refusal::UnknownProperty {
            path: LOCAL_PATH.to_owned(),
            property: what.to_owned(),
        },
        PublishError::Tree(error) => Refusal::LimitsExceeded(format!("{what}: {error}")),
        error => Refusal::InvalidArgs(format!("{what}: {error}")),
    }
}
