//! The calls of clients for wires.
//!
//! Model: `Wire`, `Unwire` and `WireWith` of the bridge's object, `Remove` of a wire's object.
//! Spec: `interfaces/org.z25.Zocp1.Bridge.xml`, `interfaces/org.z25.Zocp1.Wire.xml`.

use futures_util::{FutureExt, future::BoxFuture};
use tokio::time::timeout;
use zbus::{ObjectPath, Variant};
use zocp_interfaces::WIRES_PATH;

use super::{
    CONFIRM_TIMEOUT, End, NodeEnd, Wires,
    options::Options,
    plan::PlanError,
    registry::{WireError, WireId},
};
use zocp_dbus::{
    errors::Refusal,
    server::{Answer, CallRequest, InterfaceHandler, unknown_method},
};

impl InterfaceHandler for Wires {
    fn call(&self, call: CallRequest) -> BoxFuture<'_, Answer> {
        async move { self.answer(&call).await }.boxed()
    }
}

impl Wires {
    async fn answer(&self, call: &CallRequest) -> Answer {
        let text = |index: usize| call.text(index);
        let ends = || -> Result<(End, End), Refusal> {
            let from = NodeEnd::new(text(0)?, text(1)?);
            Ok((from.into(), NodeEnd::new(text(2)?, text(3)?).into()))
        };
        match &*call.member {
            "Wire" => {
                self.connect(ends()?, Options::default()).await?;
                Ok(Vec::new())
            }
            "Unwire" => {
                let (from, to) = ends()?;
                let gone = self.change(|registry| registry.disconnect(from, to));
                gone.map(|_| Vec::new()).map_err(refusal)
            }
            "WireWith" => {
                let ends = (end(text(0)?)?, end(text(1)?)?);
                let options = Options::read(call.arguments.get(2), &self.shared.calculator)?;
                let id = self.connect(ends, options).await?;
                Ok(vec![Variant::ObjectPath(path(id)?)])
            }
            "Remove" => {
                let removed =
                    number(&call.path).map(|id| self.change(|registry| registry.remove(id)));
                removed
                    .unwrap_or(Err(WireError::Unknown))
                    .map_err(refusal)?;
                Ok(Vec::new())
            }
            _ => Err(unknown_method(call)),
        }
    }

    /// Makes a wire, and waits a limited time until the emitter's node confirms it.
    async fn connect(&self, ends: (End, End), options: Options) -> Result<WireId, Refusal> {
        let Options {
            conversion,
            lasting,
        } = options;
        let made = self.change(|registry| registry.connect(ends, conversion, lasting));
        let id = made.map_err(refusal)?;
        let record = self.state().records.get(&id).cloned();
        if let Some(record) = record {
            // A node that does not confirm in time may do so later; the state of the wire then changes.
            timeout(CONFIRM_TIMEOUT, record.is_answered()).await.ok();
            if let Some(reason) = record.refused() {
                return Err(Refusal::Failed(reason));
            }
        }
        Ok(id)
    }
}

fn end(text: &str) -> Result<End, Refusal> {
    text.parse()
        .map_err(|error: super::EndError| Refusal::InvalidArgs(error.to_string()))
}

fn path(id: WireId) -> Result<ObjectPath<'static>, Refusal> {
    let path = format!("{WIRES_PATH}/{}", id.0);
    ObjectPath::try_from(path).map_err(|error| Refusal::Failed(error.to_string()))
}

fn number(path: &str) -> Option<WireId> {
    let number = path.strip_prefix(WIRES_PATH)?.strip_prefix('/')?;
    number.parse().ok().map(WireId)
}

fn refusal(error: WireError) -> Refusal {
    let text = error.to_string();
    match error {
        WireError::Plan(PlanError::NodeGone(name)) => Refusal::NodeGone(format!("\"{name}\"")),
        WireError::Plan(PlanError::Unknown(_)) => Refusal::Busy(text),
        WireError::Plan(PlanError::NoService(_)) => Refusal::ServiceUnknown(text),
        WireError::TooMany(_) => Refusal::LimitsExceeded(text),
        WireError::Elsewhere(_) => Refusal::NotSupported(text),
        WireError::Unknown => Refusal::UnknownObject("this wire".to_owned()),
        WireError::Plan(_) => Refusal::InvalidArgs(text),
    }
}
