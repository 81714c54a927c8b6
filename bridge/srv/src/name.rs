//! What a user writes to have DNS name the peers: `srv:_SERVICE._tcp.DOMAIN`, on a secure mesh with `|KEY`.
//!
//! Limits: [`NAME_LEN_MAX`] octets of a name, [`LABEL_LEN_MAX`] of a label, as DNS has them.

use std::{fmt, str::FromStr};

use zocp_node::PublicKey;

/// A name with SRV records.
///
/// ```
/// use zocp_srv::SrvName;
/// let name: SrvName = "srv:_zocp._tcp.venue.example".parse()?;
/// assert_eq!(name.domain(), "_zocp._tcp.venue.example");
/// # Ok::<(), zocp_srv::SrvNameError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SrvName {
    domain: Box<str>,
    key: Option<PublicKey>,
}

/// The text does not name SRV records. The user's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SrvNameError {
    /// It is not a service over TCP in a domain.
    #[error("\"{0}\" is not srv:_SERVICE._tcp.DOMAIN, such as srv:_zocp._tcp.venue.example")]
    NotSrv(String),
    /// What follows `|` is no key.
    #[error("\"{0}\": {1}")]
    Key(String, zocp_node::KeyError),
}

impl SrvName {
    /// Whether a text is meant to be such a name.
    #[must_use]
    pub fn is_meant(text: &str) -> bool {
        text.starts_with(SCHEME)
    }

    /// The name to look up.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The key of the node that the records name.
    #[must_use]
    pub fn key(&self) -> Option<PublicKey> {
        self.key
    }

    /// The endpoint of a record, as the node takes it.
    pub(crate) fn endpoint(&self, host: &str, port: u16) -> String {
        match self.key {
            Some(key) => format!("tcp://{host}:{port}|{key}"),
            None => format!("tcp://{host}:{port}"),
        }
    }
}

impl FromStr for SrvName {
    type Err = SrvNameError;

    fn from_str(text: &str) -> Result<Self, SrvNameError> {
        let wrong = || SrvNameError::NotSrv(text.to_owned());
        let rest = text.strip_prefix(SCHEME).ok_or_else(wrong)?;
        let (domain, key) = match rest.split_once('|') {
            Some((domain, key)) => (domain, Some(key)),
            None => (rest, None),
        };
        let domain = domain.strip_suffix('.').unwrap_or(domain);
        if !is_service(domain) {
            return Err(wrong());
        }
        let key = key.map(str::parse).transpose();
        Ok(Self {
            domain: domain.to_ascii_lowercase().into(),
            key: key.map_err(|error| SrvNameError::Key(text.to_owned(), error))?,
        })
    }
}

impl fmt::Display for SrvName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", self.domain)
    }
}

/// Whether a text is `_SERVICE._tcp.DOMAIN`.
fn is_service(domain: &str) -> bool {
    let is_label = |label: &str| {
        (1..=LABEL_LEN_MAX).contains(&label.len())
            && label
                .bytes()
                .all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_'))
    };
    let mut labels = domain.split('.');
    let service = labels
        .next()
        .is_some_and(|it| it.len() > 1 && it.starts_with('_'));
    let protocol = labels
        .next()
        .is_some_and(|it| it.eq_ignore_ascii_case("_tcp"));
    service
        && protocol
        && labels.next().is_some()
        && domain.len() <= NAME_LEN_MAX
        && domain.split('.').all(is_label)
}

/// Names that are followed.
pub const NAMES_MAX: usize = 16;
const SCHEME: &str = "srv:";
/// RFC 1035 §2.3.4, without the octets of a length before the name and of the root after it.
const NAME_LEN_MAX: usize = 253;
const LABEL_LEN_MAX: usize = 63;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_over_tcp_in_a_domain_is_a_name() {
        for (text, domain) in [
            ("srv:_zocp._tcp.venue.example", "_zocp._tcp.venue.example"),
            ("srv:_zocp._TCP.Venue.example.", "_zocp._tcp.venue.example"),
            ("srv:_a._tcp.local", "_a._tcp.local"),
        ] {
            assert_eq!(text.parse::<SrvName>().unwrap().domain(), domain);
        }
    }

    #[test]
    fn what_is_none_is_named_with_an_example() {
        let long = format!("srv:_zocp._tcp.{}", "a".repeat(64));
        for text in [
            "srv:",
            "srv:venue.example",
            "srv:_zocp._udp.venue.example",
            "srv:_zocp._tcp",
            "srv:_zocp._tcp.",
            "srv:_._tcp.example",
            "srv:_zocp._tcp.a..b",
            "srv:_zocp._tcp.a b",
            "srv:zocp._tcp.example",
            "srv:_zocp._tcp.example:5671",
            &long,
        ] {
            let error = text.parse::<SrvName>().unwrap_err().to_string();
            assert!(
                error.contains(text) && error.contains("such as srv:_zocp._tcp."),
                "{error}"
            );
        }
        let error = "srv:_zocp._tcp.example|key".parse::<SrvName>().unwrap_err();
        assert!(matches!(error, SrvNameError::Key(..)), "{error}");
    }

    #[test]
    fn endpoints_of_a_secure_mesh_have_the_key() {
        let key = zocp_node::KeyPair::from_secret(&[7; 32]).public();
        let name: SrvName = format!("srv:_zocp._tcp.example|{key}").parse().unwrap();
        assert_eq!(
            name.endpoint("a.example", 5),
            format!("tcp://a.example:5|{key}")
        );
        assert_eq!(name.to_string(), "srv:_zocp._tcp.example");
    }
}
