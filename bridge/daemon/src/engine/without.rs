//! What is in the place of the engine in a build without the feature `iroh`.

use super::{Carrier, EngineError, IrohLink, IrohState};

/// That no link can be had.
///
/// # Errors
/// Always.
pub(crate) fn check(_link: &IrohLink) -> Result<(), EngineError> {
    let reason =
        "this program was built without the feature `iroh`: cargo install zocp --features iroh";
    Err(EngineError(reason.to_owned()))
}

/// No engine.
#[derive(Debug, Clone)]
pub(crate) struct Engine;

#[expect(
    clippy::unused_async,
    clippy::unused_self,
    reason = "as with the feature"
)]
impl Engine {
    #[cfg(test)]
    pub(crate) const fn none() -> Self {
        Self
    }

    pub(crate) async fn start(
        _links: &[IrohLink],
        _node: &mut zocp_node::Config,
    ) -> Result<Self, EngineError> {
        Ok(Self)
    }

    pub(crate) const fn serve(&self, _mailbox: u16) {}

    pub(crate) async fn add(&self, link: &IrohLink) -> Result<Option<String>, EngineError> {
        check(link).map(|()| None)
    }

    pub(crate) async fn remove(&self, _link: &IrohLink) {}

    pub(crate) const fn state(&self, _link: &IrohLink) -> Option<IrohState> {
        None
    }

    pub(crate) const fn carrier(&self, _endpoint: &str) -> Option<Carrier> {
        None
    }

    pub(crate) async fn changed(&mut self) {
        std::future::pending().await
    }

    pub(crate) async fn close(self) {}
}
