//! The names of what a node's tree says of exported services: one object for each service below [`SERVICES`].
//!
//! Model: constants that exporter and importer share.
//! Not here: how the entries are written (`crate::export`) and read (`crate::import`).
//! Spec: docs/reference/protocol.md §7.2, §7.10

/// The object of the tree that all services are in, and its type.
pub const SERVICES: &str = "services";
/// The type of a service's object.
pub const SERVICE_TYPE: &str = "dbus-service";
/// The entry with the UUID of the bridge on whose bus the service is.
pub const ORIGIN: &str = "origin";
/// The entry that is another one each time the service has another owner.
pub const REVISION: &str = "revision";
/// The entry that says whether somebody owns the service; else the bus can start it.
pub const RUNNING: &str = "running";
/// The entry that says that the bus can start the service; left out where it cannot.
pub const ACTIVATABLE: &str = "activatable";
/// The entry of a service's object with the introspection data that it gives of its objects, by path.
pub const INTROSPECTION: &str = "introspection";
/// The entry with those of objects of which it gives none, or not all.
pub const SUPPLIED: &str = "supplied";
