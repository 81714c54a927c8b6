//! Any text as introspection data.
//!
//! Input: the text.
//! Holds: it is refused, or what it declares is shown as it was declared; memory is in proportion.

use zbus::names::InterfaceName;
use zocp_daemon::objects::{Objects, parse_interfaces};

use crate::memory;

/// Runs the target.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (read, most) = memory::peak(|| parse_interfaces(text));
    assert!(
        most <= FIXED + EACH * data.len(),
        "{most} octets for {}",
        data.len()
    );
    let Ok(interfaces) = read else { return };
    let mut objects = Objects::default();
    if interfaces.iter().any(|one| !is_ours(one.name())) {
        return;
    }
    if objects.insert("/a", interfaces.clone()).is_err() {
        return;
    }
    let shown = objects.introspect("/a");
    let again = parse_interfaces(&shown).expect("what we write is read");
    for interface in &interfaces {
        let is_there = again.iter().any(|one| one.name() == interface.name());
        assert!(is_there, "{interface:?} in {shown}");
    }
    let mut copy = Objects::default();
    let ours = again.into_iter().filter(|one| !is_standard(one.name()));
    copy.insert("/a", ours).expect("it was taken before");
    assert_eq!(copy.introspect("/a"), shown);
}

/// Whether a name can be one, and is none that the dispatcher has itself.
fn is_ours(interface: &str) -> bool {
    InterfaceName::try_from(interface).is_ok() && !is_standard(interface)
}

fn is_standard(interface: &str) -> bool {
    interface.starts_with("org.freedesktop.DBus.")
}

const FIXED: usize = 64 << 10;
const EACH: usize = 1024;
