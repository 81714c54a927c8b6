//! Why the bridge refuses a call, and the one place that gives the D-Bus error its name.
//!
//! Model: whoever answers a method call answers with a [`Refusal`] or does not refuse. The list is
//! closed; the names are those of [`zocp_interfaces::errors`], and each is documented in the XML of the
//! members that can answer with it. A remote node's own error keeps its own name.
//! Spec: docs/reference/dbus.md, "Errors".

use zbus::names::ErrorName;
use zocp_interfaces::errors;

/// Why a call is refused. State is unchanged unless the variant says otherwise.
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
        /// What was asked for.
        interface: String,
    },
    /// The caller's fault: the interface has no such method.
    #[error("no method {member} at {path}")]
    UnknownMethod {
        /// The object.
        path: String,
        /// What was asked for, with the interface where one was named.
        member: String,
    },
    /// The caller's fault: the interface has no such property.
    #[error("no property {property} at {path}")]
    UnknownProperty {
        /// The object.
        path: String,
        /// What was asked for, with the interface where one was named.
        property: String,
    },
    /// The caller's fault: the property cannot be written.
    #[error("{0} cannot be written")]
    PropertyReadOnly(String),
    /// The caller's fault: the property can only be written.
    #[error("{0} cannot be read")]
    NotReadable(String),
    /// The node is not, or no longer, present. What was asked of it may or may not have happened.
    #[error("{0} is gone from the mesh")]
    NodeGone(String),
    /// A queue is full, nothing was sent: try again later.
    #[error("{0}")]
    Busy(String),
    /// The node did not answer in time. What was asked of it may or may not have happened.
    #[error("{0}")]
    Timeout(String),
    /// The node does not know how to do this.
    #[error("{0}")]
    NotSupported(String),
    /// The answer would be larger than the bus takes.
    #[error("the answer is larger than the {max} octets that the bus takes")]
    TooLarge {
        /// The bus's limit for a message.
        max: usize,
    },
    /// The caller's fault: no rule lets it do this, here or at the exporter.
    #[error("{0}")]
    AccessDenied(String),
    /// The caller may, once a person has said so, and did not let anybody be asked.
    #[error("{0}")]
    AuthorizationRequired(String),
    /// The service is not, or no longer, there.
    #[error("{0}")]
    ServiceUnknown(String),
    /// More than is allowed at once.
    #[error("{0}")]
    LimitsExceeded(String),
    /// File descriptors cannot travel.
    #[error("file descriptors cannot travel over the mesh")]
    NoFileDescriptors,
    /// The node answered with an error of its own.
    #[error("{message}")]
    Remote {
        /// The name as the node gave it. One that is no D-Bus error name is shown as `Failed`.
        error: String,
        /// What the node says.
        message: String,
    },
    /// The bridge could not do it, and nobody's fault has a name of its own.
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

    /// The name as it is told on the mesh: a remote error's own, also where D-Bus would not have it.
    pub fn raw_name(&self) -> &str {
        match self {
            Self::Remote { error, .. } if !error.is_empty() => error,
            refusal => refusal.own_name(),
        }
    }

    fn own_name(&self) -> &'static str {
        self.kind().name()
    }

    /// Which of the closed list it is.
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
            Self::NoFileDescriptors => ErrorKind::NoFileDescriptors,
            Self::NodeGone(_) => ErrorKind::NodeGone,
            Self::Busy(_) => ErrorKind::Busy,
            Self::Timeout(_) => ErrorKind::Timeout,
            Self::NotSupported(_) => ErrorKind::NotSupported,
            Self::TooLarge { .. } | Self::LimitsExceeded(_) => ErrorKind::LimitsExceeded,
            Self::Remote { .. } | Self::Failed(_) => ErrorKind::Failed,
        }
    }
}

/// The errors of the bridge by their names on D-Bus, which [`errors`] explains.
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
    /// A person has to say that the caller may.
    AuthorizationRequired,
    /// The service is not there.
    ServiceUnknown,
    /// File descriptors cannot travel.
    NoFileDescriptors,
    /// The node is not there.
    NodeGone,
    /// A queue is full.
    Busy,
    /// No answer in time.
    Timeout,
    /// The node cannot do it.
    NotSupported,
    /// More than is allowed.
    LimitsExceeded,
    /// Nobody's fault that has a name of its own.
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
            Refusal::NoFileDescriptors,
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
