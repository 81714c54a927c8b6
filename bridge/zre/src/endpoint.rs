//! Where a mailbox is: `tcp://host:port`, as peers and users write it.
//!
//! Model: a host is an address or a name; a name is resolved by the caller. An
//! IPv6 zone is meaningful on one host only, so what a peer writes of it is
//! dropped, and what our user writes is kept for the caller to resolve.
//! Spec: 36/ZRE "HELLO" (`endpoint`).

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::str::FromStr;

/// The endpoint of a mailbox.
///
/// ```
/// use zocp_zre::Endpoint;
/// let endpoint: Endpoint = "tcp://[fe80::1%eth0]:5000".parse()?;
/// assert_eq!(endpoint.zone(), Some("eth0"));
/// assert_eq!(endpoint.to_string(), "tcp://[fe80::1%eth0]:5000");
/// # Ok::<(), zocp_zre::EndpointError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    host: Host,
    port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Host {
    Addr { ip: IpAddr, zone: Option<Box<str>> },
    Name(Box<str>),
}

/// The text is no endpoint. Whoever wrote it is at fault: a user, or a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Another transport, or none.
    #[error("an endpoint begins with tcp://")]
    NotTcp,
    /// No port, or one that is not between 1 and 65535.
    #[error("an endpoint ends with a port")]
    BadPort,
    /// Neither an address nor a possible host name.
    #[error("the host of the endpoint is neither an address nor a name")]
    BadHost,
}

impl Endpoint {
    /// The address, when it needs no resolving: not a name and without a named zone.
    #[must_use]
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        match &self.host {
            Host::Addr { ip, zone: None } => Some(SocketAddr::new(*ip, self.port)),
            Host::Addr {
                ip: IpAddr::V6(ip),
                zone: Some(zone),
            } => {
                let scope = zone.parse().ok()?;
                Some(SocketAddrV6::new(*ip, self.port, 0, scope).into())
            }
            _ => None,
        }
    }

    /// The host: an address without its zone, or a name to resolve.
    #[must_use]
    pub fn host(&self) -> String {
        match &self.host {
            Host::Addr { ip, .. } => ip.to_string(),
            Host::Name(name) => name.to_string(),
        }
    }

    /// The address of the host, unless it is a name.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        match &self.host {
            Host::Addr { ip, .. } => Some(*ip),
            Host::Name(_) => None,
        }
    }

    /// The IPv6 zone: an interface's name, or its index.
    #[must_use]
    pub fn zone(&self) -> Option<&str> {
        match &self.host {
            Host::Addr { zone, .. } => zone.as_deref(),
            Host::Name(_) => None,
        }
    }

    /// The port of the mailbox.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The endpoint that a peer names, seen from here: its zone means nothing on
    /// this host, and "any address" stands for the one it speaks from.
    pub(crate) fn seen_from(self, source: SocketAddr) -> Self {
        match self.host {
            Host::Addr { ip, .. } if ip.is_unspecified() || is_link_local(ip) => {
                Self::from(SocketAddr::new(source.ip(), self.port)).with_scope_of(source)
            }
            Host::Addr { ip, .. } => SocketAddr::new(ip, self.port).into(),
            Host::Name(_) => self,
        }
    }

    /// What another host can use of a local address of ours: no zone. As zyre does, others put theirs in its place.
    pub(crate) fn advertised(local: IpAddr, port: u16) -> Self {
        SocketAddr::new(local, port).into()
    }

    /// The text to connect to: an address, with the number of its zone, or a name with a port. `index_of` knows the
    /// number of an interface.
    #[must_use]
    pub fn to_dial(&self, index_of: impl FnOnce(&str) -> Option<u32>) -> String {
        if let Some(address) = self.socket_addr() {
            return address.to_string();
        }
        match &self.host {
            Host::Addr {
                ip: IpAddr::V6(ip),
                zone: Some(zone),
            } => {
                let scope = index_of(zone).unwrap_or_default();
                SocketAddrV6::new(*ip, self.port, 0, scope).to_string()
            }
            _ => format!("{}:{}", self.host(), self.port),
        }
    }

    fn with_scope_of(mut self, source: SocketAddr) -> Self {
        if let (Host::Addr { zone, .. }, SocketAddr::V6(source)) = (&mut self.host, source) {
            *zone = (source.scope_id() != 0).then(|| source.scope_id().to_string().into());
        }
        self
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        let zone = match address {
            SocketAddr::V6(v6) if v6.scope_id() != 0 => Some(v6.scope_id().to_string().into()),
            _ => None,
        };
        Self {
            host: Host::Addr {
                ip: address.ip().to_canonical(),
                zone,
            },
            port: address.port(),
        }
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let rest = text.strip_prefix("tcp://").ok_or(EndpointError::NotTcp)?;
        // zyre writes the zone behind the bracket at times, pyre inside.
        let (host, port) = rest.rsplit_once(':').ok_or(EndpointError::BadPort)?;
        let port = port.parse().ok().filter(|port| *port != 0);
        let port = port.ok_or(EndpointError::BadPort)?;
        let bare = host.replace(['[', ']'], "");
        let (addr, zone) = match bare.split_once('%') {
            Some((addr, zone)) => (addr, (!zone.is_empty()).then(|| zone.into())),
            None => (bare.as_str(), None),
        };
        let host = match addr.parse::<IpAddr>() {
            Ok(ip) => {
                let ip = ip.to_canonical();
                let zone = zone.filter(|_| ip.is_ipv6());
                Host::Addr { ip, zone }
            }
            Err(_) if is_host_name(host) => Host::Name(host.into()),
            Err(_) => return Err(EndpointError::BadHost),
        };
        Ok(Self { host, port })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Addr {
                ip: IpAddr::V6(ip),
                zone: Some(zone),
            } => write!(f, "tcp://[{ip}%{zone}]:{}", self.port),
            Host::Addr {
                ip: IpAddr::V6(ip), ..
            } => write!(f, "tcp://[{ip}]:{}", self.port),
            Host::Addr { ip, .. } => write!(f, "tcp://{ip}:{}", self.port),
            Host::Name(name) => write!(f, "tcp://{name}:{}", self.port),
        }
    }
}

fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if Ipv6Addr::is_unicast_link_local(&ip))
}

/// The characters of host names, so that no peer's HELLO makes us look up a text
/// of its own design.
fn is_host_name(host: &str) -> bool {
    (1..=253).contains(&host.len())
        && host.starts_with(|c: char| c.is_ascii_alphanumeric())
        && host
            .bytes()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Endpoint {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_names_and_zones_are_read_and_written() {
        for text in [
            "tcp://10.99.1.1:49152",
            "tcp://[2001:db8::1]:5670",
            "tcp://[fe80::1%eth0]:5000",
            "tcp://foh.local:49152",
        ] {
            assert_eq!(parse(text).to_string(), text);
        }
        let zoned = "tcp://[fe80::1%eth0]:5000";
        assert_eq!(parse("tcp://[fe80::1]%eth0:5000").to_string(), zoned);
        assert_eq!(parse("tcp://fe80::1%eth0:5000").to_string(), zoned);
        assert_eq!(
            parse("tcp://[::ffff:10.0.0.1]:5").to_string(),
            "tcp://10.0.0.1:5"
        );
    }

    #[test]
    fn an_address_of_ipv4_has_no_zone_in_whatever_form_it_is_written() {
        let plain = parse("tcp://10.0.0.1:5");
        assert_eq!(parse("tcp://[::ffff:10.0.0.1%eth0]:5"), plain);
        assert_eq!(parse("tcp://10.0.0.1%eth0:5"), plain);
    }

    #[test]
    fn what_is_no_endpoint_says_why() {
        for (text, why) in [
            ("inproc://zyre", EndpointError::NotTcp),
            ("", EndpointError::NotTcp),
            ("tcp://10.0.0.1", EndpointError::BadPort),
            ("tcp://10.0.0.1:0", EndpointError::BadPort),
            ("tcp://10.0.0.1:70000", EndpointError::BadPort),
            ("tcp://:5000", EndpointError::BadHost),
            ("tcp://*:5000", EndpointError::BadHost),
            ("tcp://a b:5000", EndpointError::BadHost),
        ] {
            assert_eq!(text.parse::<Endpoint>(), Err(why), "{text}");
        }
    }

    #[test]
    fn a_peers_any_address_is_the_address_it_speaks_from() {
        let source = "10.0.0.9:40000".parse().unwrap();
        let seen = parse("tcp://0.0.0.0:5000").seen_from(source);
        assert_eq!(seen.to_string(), "tcp://10.0.0.9:5000");
    }

    #[test]
    fn a_peers_zone_is_replaced_by_ours() {
        let source = SocketAddrV6::new("fe80::9".parse().unwrap(), 4, 0, 7).into();
        let seen = parse("tcp://[fe80::9%enp3s0]:5000").seen_from(source);
        assert_eq!(seen.zone(), Some("7"));
        assert_eq!(
            seen.socket_addr(),
            Some(SocketAddrV6::new("fe80::9".parse().unwrap(), 5000, 0, 7).into())
        );
    }

    #[test]
    fn an_address_is_dialed_with_the_number_of_its_zone() {
        let to_dial = |text: &str| parse(text).to_dial(|zone| (zone == "eth0").then_some(3));
        assert_eq!(to_dial("tcp://10.0.0.1:5"), "10.0.0.1:5");
        assert_eq!(to_dial("tcp://[2001:db8::1]:5"), "[2001:db8::1]:5");
        assert_eq!(to_dial("tcp://[fe80::1%eth0]:5"), "[fe80::1%3]:5");
        assert_eq!(to_dial("tcp://[fe80::1%7]:5"), "[fe80::1%7]:5");
        assert_eq!(to_dial("tcp://[fe80::1%eth9]:5"), "[fe80::1]:5");
        assert_eq!(to_dial("tcp://foh:5"), "foh:5");
    }

    #[test]
    fn a_named_zone_or_host_needs_resolving() {
        assert_eq!(parse("tcp://[fe80::1%eth0]:5").socket_addr(), None);
        assert_eq!(parse("tcp://foh:5").socket_addr(), None);
        assert_eq!(parse("tcp://foh:5").host(), "foh");
    }
}
