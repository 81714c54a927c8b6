//! `org.z25.Zocp1.Bridge`: the bridge as a node, its groups, and the making of wires.

use futures_util::{FutureExt, future::BoxFuture};
use zbus::{ObjectPath, Variant};
use zocp_dbus::{
    errors::Refusal,
    server::{Answer, CallRequest, InterfaceHandler, ObjectTable, unknown_method},
};
use zocp_interfaces::{BRIDGE_INTERFACE, BRIDGE_PATH};
use zocp_mapping::directory::Directory;
use zocp_node::{Content, Node, NodeError};
use zocp_wires::Wires;

use crate::node_error::refusal;

/// Answers the calls of the interface.
pub(super) struct BridgeHandler {
    pub(super) node: Node,
    pub(super) directory: Directory,
    pub(super) wires: Wires,
    pub(super) table: ObjectTable,
}

impl InterfaceHandler for BridgeHandler {
    fn call(&self, call: CallRequest) -> BoxFuture<'_, Answer> {
        self.answer(call).boxed()
    }
}

impl BridgeHandler {
    async fn answer(&self, call: CallRequest) -> Answer {
        let done = |outcome: Result<(), NodeError>| -> Answer {
            outcome.map_err(|error| refusal(error, self.node.name(), &call.member))?;
            Ok(Vec::new())
        };
        match &*call.member {
            "FindNode" => self.find_node(call.text(0)?),
            "Connect" => done(self.node.connect(call.text(0)?).await),
            "Join" => {
                done(self.node.join(group(call.text(0)?)?).await)?;
                self.show_groups().await
            }
            "Leave" => {
                done(self.node.leave(group(call.text(0)?)?).await)?;
                self.show_groups().await
            }
            "Shout" => {
                let octets = bytes::Bytes::from(call.octets(1)?);
                let content = Content::from_iter([octets]);
                done(self.node.shout(group(call.text(0)?)?, content).await)
            }
            "Wire" | "Unwire" | "WireWith" => self.wires.call(call).await,
            _ => Err(unknown_method(&call)),
        }
    }

    fn find_node(&self, text: &str) -> Answer {
        let found = self.directory.find(text);
        let found = found.and_then(|id| self.directory.label_of(id));
        let path = found.map(|label| super::peer_path(&label));
        match path.and_then(|path| ObjectPath::try_from(path).ok()) {
            Some(path) => Ok(vec![Variant::ObjectPath(path)]),
            None => Err(Refusal::NodeGone(format!("\"{text}\""))),
        }
    }

    /// Shows the groups that the bridge is in by now.
    async fn show_groups(&self) -> Answer {
        let groups = self.node.groups().await;
        let mut groups = groups.map_err(|error| refusal(error, self.node.name(), "Groups"))?;
        groups.sort();
        let groups = Variant::new(groups);
        let shown = self
            .table
            .with(|objects| objects.set(BRIDGE_PATH, BRIDGE_INTERFACE, "Groups", groups));
        shown
            .map(|_| Vec::new())
            .map_err(|error| Refusal::Failed(error.to_string()))
    }
}

/// The name of a group, if it can be one.
fn group(name: &str) -> Result<&str, Refusal> {
    match name.len() {
        1..=GROUP_LEN_MAX => Ok(name),
        length => Err(Refusal::InvalidArgs(format!(
            "the name of a group has 1 to {GROUP_LEN_MAX} octets, not {length}"
        ))),
    }
}

/// 36/ZRE: `string` is at most 255 octets.
const GROUP_LEN_MAX: usize = 255;
