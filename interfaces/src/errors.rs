//! The names of the D-Bus errors that the bridge answers with.
//!
//! Model: a closed list. Those of `org.freedesktop.DBus.Error` are used where D-Bus has the word, ours
//! where it has not. Each is named in the XML of the members that can answer with it.

/// Caller: wrong count or type of arguments, or text that is no endpoint, group or name.
pub const INVALID_ARGS: &str = "org.freedesktop.DBus.Error.InvalidArgs";
/// Caller: the capability cannot be written.
pub const PROPERTY_READ_ONLY: &str = "org.freedesktop.DBus.Error.PropertyReadOnly";
/// Caller: no such object.
pub const UNKNOWN_OBJECT: &str = "org.freedesktop.DBus.Error.UnknownObject";
/// Caller: no such interface on this object.
pub const UNKNOWN_INTERFACE: &str = "org.freedesktop.DBus.Error.UnknownInterface";
/// Caller: no such method on this interface.
pub const UNKNOWN_METHOD: &str = "org.freedesktop.DBus.Error.UnknownMethod";
/// Caller: no such property on this interface.
pub const UNKNOWN_PROPERTY: &str = "org.freedesktop.DBus.Error.UnknownProperty";
/// The peer cannot do what is asked for, for instance one that does not know method calls.
pub const NOT_SUPPORTED: &str = "org.freedesktop.DBus.Error.NotSupported";
/// The peer did not answer within the bridge's deadline.
pub const TIMEOUT: &str = "org.freedesktop.DBus.Error.Timeout";
/// The bridge could not do it and it is nobody's fault that has a name of its own.
pub const FAILED: &str = "org.freedesktop.DBus.Error.Failed";
/// Caller: the value is below `min` or above `max`.
pub const OUT_OF_RANGE: &str = "org.z25.Zocp1.Error.OutOfRange";
/// The node is not, or no longer, present.
pub const NODE_GONE: &str = "org.z25.Zocp1.Error.NodeGone";
/// A queue is full: try again later.
pub const BUSY: &str = "org.z25.Zocp1.Error.Busy";
/// Caller: no rule lets it do this.
pub const ACCESS_DENIED: &str = "org.freedesktop.DBus.Error.AccessDenied";
/// Caller: a person has to say that it may, and the call did not let one be asked.
pub const AUTHORIZATION_REQUIRED: &str =
    "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired";
/// More than is allowed at once, or a message that is too long.
pub const LIMITS_EXCEEDED: &str = "org.freedesktop.DBus.Error.LimitsExceeded";
/// The exported service is not, or no longer, there.
pub const SERVICE_UNKNOWN: &str = "org.freedesktop.DBus.Error.ServiceUnknown";
/// A message with file descriptors, which cannot travel over the mesh.
pub const NO_FILE_DESCRIPTORS: &str = "org.z25.Zocp1.Error.NoFileDescriptors";
