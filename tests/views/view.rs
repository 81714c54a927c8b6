//! A view that the test opens itself.

use std::{collections::HashMap, path::PathBuf};

use futures_util::StreamExt;
use zbus::{
    Connection, DBusError, Message, OwnedObjectPath, Variant, fdo::DBusProxy, names::BusName, proxy,
};
use zocp_interfaces::ViewsProxy;
use zocp_testkit::{Venue, in_time};

/// An open view: its opener's connection to the bus of front of house, and a program's to the view.
pub(crate) struct View {
    pub(crate) opener: Connection,
    pub(crate) address: String,
    pub(crate) path: OwnedObjectPath,
    pub(crate) program: Connection,
}

#[proxy(interface = "org.example.Lamp1", default_path = "/org/example/lamp")]
pub(crate) trait Lamp {
    fn blink(&self, times: u32) -> zbus::Result<String>;
    fn sender(&self) -> zbus::Result<String>;
    fn whisper(&self, text: &str) -> zbus::Result<()>;
    fn count(&self) -> zbus::Result<()>;
    fn counted(&self) -> zbus::Result<u32>;
    fn fail(&self) -> zbus::Result<()>;
    #[zbus(property)]
    fn level(&self) -> zbus::Result<f64>;
    #[zbus(property)]
    fn set_level(&self, level: f64) -> zbus::Result<()>;
}

impl View {
    pub(crate) async fn open(venue: &Venue, nodes: &[&str], also: &[&str]) -> Self {
        let opener = venue.foh.bus.connect().await;
        Self::open_by(opener, nodes, also).await.expect("a view")
    }

    pub(crate) async fn open_by(
        opener: Connection,
        nodes: &[&str],
        also: &[&str],
    ) -> zbus::Result<Self> {
        let also = Variant::new(also.iter().map(ToString::to_string).collect::<Vec<_>>());
        let options = HashMap::from([("Also", also)]);
        let views = ViewsProxy::new(&opener).await?;
        let (address, path) = views.open(nodes, options).await?;
        Ok(Self {
            program: connect(&address).await,
            opener,
            address,
            path,
        })
    }

    /// Who owns a name in the view.
    pub(crate) async fn owner(&self, name: &str) -> Option<String> {
        let bus = DBusProxy::new(&self.program).await.expect("a proxy");
        let name = BusName::try_from(name).expect("a name");
        bus.get_name_owner(name).await.ok().map(|it| it.to_string())
    }

    /// Waits until somebody owns a name in the view, or nobody.
    pub(crate) async fn becomes(&self, name: &str, is_owned: bool) {
        let bus = DBusProxy::new(&self.program).await.expect("a proxy");
        let mut changes = bus.receive_name_owner_changed().await.expect("signals");
        let wait = async {
            while self.owner(name).await.is_some() != is_owned {
                changes.next().await.expect("the bus");
            }
        };
        in_time(&format!("{name} owned: {is_owned}"), wait).await;
    }

    /// A lamp in the view.
    pub(crate) async fn lamp(&self, name: &str) -> LampProxy<'static> {
        let lamp = LampProxy::builder(&self.program).destination(name.to_owned());
        let lamp = lamp.cache_properties(zbus::proxy::CacheProperties::No);
        lamp.build().await.expect("a proxy")
    }

    /// The socket.
    pub(crate) fn socket(&self) -> PathBuf {
        let path = self.address.strip_prefix("unix:path=").expect("a path");
        path.into()
    }
}

pub(crate) async fn connect(address: &str) -> Connection {
    let connection = zbus::connection::Builder::address(address).build().await;
    connection.expect("the view")
}

/// A lamp on the bus of a machine.
pub(crate) async fn lamp_on(bus: &Connection, name: &str) -> LampProxy<'static> {
    let lamp = LampProxy::builder(bus).destination(name.to_owned());
    let lamp = lamp.cache_properties(zbus::proxy::CacheProperties::No);
    lamp.build().await.expect("a proxy")
}

/// The name of an error.
pub(crate) fn error_of<T: std::fmt::Debug>(outcome: zbus::Result<T>) -> String {
    match outcome {
        Err(zbus::Error::MethodError(name, ..)) => name.to_string(),
        Err(zbus::Error::FDO(error)) => error.name().to_string(),
        other => panic!("no error of a method: {other:?}"),
    }
}

/// The text of an error.
pub(crate) fn text_of<T: std::fmt::Debug>(outcome: zbus::Result<T>) -> String {
    match outcome {
        Err(zbus::Error::MethodError(_, text, _)) => text.unwrap_or_default(),
        Err(zbus::Error::FDO(error)) => error.description().unwrap_or_default().to_owned(),
        other => panic!("no error of a method: {other:?}"),
    }
}

/// A signal of this member among messages.
pub(crate) fn is_signal(message: &Message, member: &str) -> bool {
    let header = message.header();
    header.member().is_some_and(|name| name.as_str() == member)
}
