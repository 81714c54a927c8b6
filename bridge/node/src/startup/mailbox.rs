//! Opens the TCP port for peers: one number, for both families of addresses.
//!
//! Model: a socket for each family, so that what comes by IPv4 has addresses of IPv4. Where the system chooses the port,
//! it chooses that of IPv4, and another one if that is taken for IPv6.
//! Limits: [`ATTEMPTS`] ports that the system chooses.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tracing::debug;

use super::StartError;
use crate::acceptor::Mailbox;
use crate::config::{Config, Ipv6};
use crate::security::SecurityScope;

/// The sockets, and their port.
pub(super) async fn open(config: &Config) -> Result<(Mailbox, u16), StartError> {
    let Some(ports) = config.mailbox_ports else {
        return any_port(config).map_err(StartError::Mailbox);
    };
    let mut tried = ports.iter().peekable();
    while let Some(port) = tried.next() {
        match at(config, port) {
            Ok(opened) => return Ok(opened),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tried.peek().is_some() => {}
            Err(error) => return Err(StartError::MailboxPorts { ports, error }),
        }
    }
    // Never: there is one at least.
    Err(StartError::Mailbox(io::ErrorKind::AddrNotAvailable.into()))
}

fn any_port(config: &Config) -> io::Result<(Mailbox, u16)> {
    for _ in 1..ATTEMPTS {
        match at(config, 0) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            opened => return opened,
        }
    }
    at(config, 0)
}

fn at(config: &Config, port: u16) -> io::Result<(Mailbox, u16)> {
    let ipv4 = match config.loopback {
        true => Ipv4Addr::LOCALHOST,
        false => Ipv4Addr::UNSPECIFIED,
    };
    let ipv6 = Ipv6Addr::UNSPECIFIED;
    let first = match config.ipv6 {
        Ipv6::Only => listen(ipv6.into(), port)?,
        Ipv6::Auto | Ipv6::Off => listen(ipv4.into(), port)?,
    };
    let port = first.local_addr()?.port();
    let second = match config.ipv6 {
        Ipv6::Auto if !config.loopback => match listen(ipv6.into(), port) {
            Ok(second) => Some(second),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
            Err(error) => {
                debug!(%error, "no connections by IPv6");
                None
            }
        },
        _ => None,
    };
    Ok((Mailbox { first, second }, port))
}

fn listen(ip: IpAddr, port: u16) -> io::Result<TcpListener> {
    let address = SocketAddr::new(ip, port);
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if ip.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // As tokio and the standard library do.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// So many that the system chooses are not taken for IPv6 in a row.
const ATTEMPTS: usize = 8;
/// As tokio has it.
const BACKLOG: i32 = 1024;

/// Where peers of other venues connect to, if that is another place than for those of this one.
pub(super) async fn open_for_links(config: &Config) -> Result<Option<Mailbox>, StartError> {
    let scope = config.security.as_ref().map(|security| security.scope);
    let Some(SecurityScope::Links {
        listen: Some(address),
    }) = scope
    else {
        return Ok(None);
    };
    let opened = TcpListener::bind(address).await;
    let first = opened.map_err(|error| StartError::LinkMailbox { address, error })?;
    Ok(Some(Mailbox {
        first,
        second: None,
    }))
}
