//! The keys of links that were added by command: trusted as long as their links are there.
//!
//! Not here: the links (`crate::links`).

use zocp_dbus::errors::Refusal;
use zocp_node::PublicKey;

use super::{LoadedTrust, Trust, failed, full, locked};

impl LoadedTrust {
    /// Trusts the key of a link; `false` if it was distrusted by hand.
    pub(crate) fn link(&mut self, key: PublicKey) -> bool {
        self.trusted.link(key);
        !self.trusted.is_distrusted(key)
    }
}

impl Trust {
    /// Trusts the key of a link, also one that was distrusted by hand: who adds a link takes that back. The node trusts it
    /// already.
    pub(crate) async fn link(&self, key: PublicKey) -> Result<(), Refusal> {
        let secure = self.secure()?;
        let _turn = secure.turn.lock().await;
        {
            let mut trusted = locked(&secure.trusted);
            if trusted.is_distrusted(key) {
                trusted.trust(key).map_err(full)?;
            }
            trusted.link(key);
        }
        secure.keeper.changed();
        self.show();
        Ok(())
    }

    /// There is no link to the node with this key any more.
    pub(crate) async fn unlink(&self, key: PublicKey) -> Result<(), Refusal> {
        let secure = self.secure()?;
        let _turn = secure.turn.lock().await;
        let is_over = locked(&secure.trusted).unlink(key);
        if is_over {
            self.shared.node.distrust(key).await.map_err(failed)?;
        }
        self.show();
        Ok(())
    }
}
