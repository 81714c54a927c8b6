//! The errors with which the bridge answers calls, and their D-Bus names.
//!
//! Model: a handler of a method call returns a [`Refusal`] to answer with an error. The list is closed; the names are
//! those of [`zocp_interfaces::errors`], and the XML of each member documents its errors. An error of a remote node
//! keeps its name.
//! Spec: docs/reference/dbus.md, "Errors".

use zbus::names::ErrorName;
use zocp_interfaces::errors;

/// Why a call fails. No state has changed unless the variant says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The caller's fault: count, type or content of an argument. The text says what was expected and
    /// what was found.
    #[error("{0}")]
    InvalidArgs(String),
    /// The caller's fault: the value is below `min` or above `max`.
    #[error("{0}")]
    OutOfRange(String),
    /// The caller's fault: there is no such object.
    #[error("no object at {0}")]
    UnknownObject(String),
    /// The caller's fault: the object has no such interface.
    #[error("no interface {interface} at {path}")]
    UnknownInterface {
        /// The object.
        path: String,
        /// The interface.
        interface: String,
    },
    /// The caller's fault: the interface has no such method.
    #[error("no method {member} at {path}")]
    UnknownMethod {
        /// The object.
        path: String,
        /// The member, with the interface if the call has one.
        member: String,
    },
    /// The caller's fault: the interface has no such property.
    #[error("no property {property} at {path}")]
    UnknownProperty {
        /// The object.
        path: String,
        /// The member, with the interface if the call has one.
        property: String,
    },
    /// The caller's fault: the property cannot be written.
    #[error("{0} cannot be written")]
    PropertyReadOnly(String),
    /// The caller's fault: the property can only be written.
    #[error("{0} cannot be read")]
    NotReadable(String),
    /// The node is not present, or has left. The request may or may not have been carried out.
    #[error("{0} is not on the mesh")]
    NodeGone(String),
    /// A queue is full, nothing was sent: try again later.
    #[error("{0}")]
    Busy(String),
    /// The node did not answer in time. The request may or may not have been carried out.
    #[error("{0}")]
    Timeout(String),
    /// The node does not support this.
    #[error("{0}")]
    NotSupported(String),
    /// The reply would be larger than the bus accepts.
    #[error("the answer is larger than the {max} octets that the bus takes")]
    TooLarge {
        /// The limit of the bus for a message.
        max: usize,
    },
    /// The caller's fault: no rule allows this, here or at the exporter.
    #[error("{0}")]
    AccessDenied(String),
    /// The caller needs the confirmation of a person, and did not allow polkit to ask for it.
    #[error("{0}")]
    AuthorizationRequired(String),
    /// The service is not present, or no longer.
    #[error("{0}")]
    ServiceUnknown(String),
    /// A limit is reached.
    #[error("{0}")]
    LimitsExceeded(String),
    /// A file descriptor of this kind cannot be sent over the mesh, or none may be.
    #[error("{0} cannot travel over the mesh")]
    NoFileDescriptors(String),
    /// The node answered with an error of its own.
    #[error("{message}")]
    Remote {
        /// The name of the node's error. If it is not a valid D-Bus error name, `Failed` is shown.
        error: String,
        /// The text of the node's error.
        message: String,
    },
    /// Any other failure of the bridge.
    #[error("{0}")]
    Failed(String),
}

impl Refusal {
    /// The D-Bus error name.
    #[must_use]
    pub fn name(&self) -> ErrorName<'_> {
        if let Self::Remote { error, .. } = self
            && let Ok(name) = ErrorName::try_from(error.as_str())
        {
            return name;
        }
        ErrorName::from_static_str_unchecked(self.own_name())
    }

    /// The name for the mesh: that of the remote error, even if it is not a valid D-Bus name.
    pub fn raw_name(&self) -> &str {
        match self {
            Self::Remote { error, .. } if !error.is_empty() => error,
            refusal => refusal.own_name(),
        }
    }

    fn own_name(&self) -> &'static str {
        self.kind().name()
    }

    /// The kind of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::InvalidArgs(_) => ErrorKind::InvalidArgs,
            Self::OutOfRange(_) => ErrorKind::OutOfRange,
            Self::UnknownObject(_) => ErrorKind::UnknownObject,
            Self::UnknownInterface { .. } => ErrorKind::UnknownInterface,
            Self::UnknownMethod { .. } => ErrorKind::UnknownMethod,
            Self::UnknownProperty { .. } => ErrorKind::UnknownProperty,
            Self::PropertyReadOnly(_) => ErrorKind::PropertyReadOnly,
            Self::NotReadable(_) | Self::AccessDenied(_) => ErrorKind::AccessDenied,
            Self::AuthorizationRequired(_) => ErrorKind::AuthorizationRequired,
            Self::ServiceUnknown(_) => ErrorKind::ServiceUnknown,
            Self::NoFileDescriptors(_) => ErrorKind::NoFileDescriptors,
            Self::NodeGone(_) => ErrorKind::NodeGone,
            Self::Busy(_) => ErrorKind::Busy,
            Self::Timeout(_) => ErrorKind::Timeout,
            Self::NotSupported(_) => ErrorKind::NotSupported,
            Self::TooLarge { .. } | Self::LimitsExceeded(_) => ErrorKind::LimitsExceeded,
            Self::Remote { .. } | Self::Failed(_) => ErrorKind::Failed,
        }
    }
}

/// The errors of the bridge by their D-Bus names, which [`errors`] documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Count, type or content of an argument.
    InvalidArgs,
    /// Below `min` or above `max`.
    OutOfRange,
    /// No such object.
    UnknownObject,
    /// No such interface.
    UnknownInterface,
    /// No such method.
    UnknownMethod,
    /// No such property.
    UnknownProperty,
    /// It cannot be written.
    PropertyReadOnly,
    /// No rule allows it.
    AccessDenied,
    /// A person must confirm the call.
    AuthorizationRequired,
    /// The service is not present.
    ServiceUnknown,
    /// File descriptors cannot be sent over the mesh.
    NoFileDescriptors,
    /// The node is not present.
    NodeGone,
    /// A queue is full.
    Busy,
    /// No reply in time.
    Timeout,
    /// The node does not support it.
    NotSupported,
    /// A limit is reached.
    LimitsExceeded,
    /// Any other failure.
    Failed,
}

impl ErrorKind {
    /// Every one, in the order of their declaration.
    pub const ALL: [Self; 17] = [
        Self::InvalidArgs,
        Self::OutOfRange,
        Self::UnknownObject,
        Self::UnknownInterface,
        Self::UnknownMethod,
        Self::UnknownProperty,
        Self::PropertyReadOnly,
        Self::AccessDenied,
        Self::AuthorizationRequired,
        Self::ServiceUnknown,
        Self::NoFileDescriptors,
        Self::NodeGone,
        Self::Busy,
        Self::Timeout,
        Self::NotSupported,
        Self::LimitsExceeded,
        Self::Failed,
    ];

    /// The D-Bus error name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidArgs => errors::INVALID_ARGS,
            Self::OutOfRange => errors::OUT_OF_RANGE,
            Self::UnknownObject => errors::UNKNOWN_OBJECT,
            Self::UnknownInterface => errors::UNKNOWN_INTERFACE,
            Self::UnknownMethod => errors::UNKNOWN_METHOD,
            Self::UnknownProperty => errors::UNKNOWN_PROPERTY,
            Self::PropertyReadOnly => errors::PROPERTY_READ_ONLY,
            Self::AccessDenied => errors::ACCESS_DENIED,
            Self::AuthorizationRequired => errors::AUTHORIZATION_REQUIRED,
            Self::ServiceUnknown => errors::SERVICE_UNKNOWN,
            Self::NoFileDescriptors => errors::NO_FILE_DESCRIPTORS,
            Self::NodeGone => errors::NODE_GONE,
            Self::Busy => errors::BUSY,
            Self::Timeout => errors::TIMEOUT,
            Self::NotSupported => errors::NOT_SUPPORTED,
            Self::LimitsExceeded => errors::LIMITS_EXCEEDED,
            Self::Failed => errors::FAILED,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_own_name_is_legal() {
        for refusal in [
            Refusal::InvalidArgs(String::new()),
            Refusal::NotReadable(String::new()),
            Refusal::TooLarge { max: 1 },
            Refusal::NoFileDescriptors(String::new()),
            Refusal::ServiceUnknown(String::new()),
            Refusal::Busy(String::new()),
        ] {
            assert!(ErrorName::try_from(refusal.own_name()).is_ok());
        }
    }

    #[test]
    fn a_remote_name_that_is_none_is_shown_as_failed() {
        let refusal = |error: &str| Refusal::Remote {
            error: error.to_owned(),
            message: String::new(),
        };
        assert_eq!(refusal("org.example.Broken").name(), "org.example.Broken");
        assert_eq!(refusal("lamp is out").name(), errors::FAILED);
    }
}
