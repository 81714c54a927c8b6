//! Any text as introspection data.
//!
//! Input: the text.
//! Holds: it is refused, or what it declares is shown as it was declared; memory is in proportion.

use zbus::names::InterfaceName;
use zocp_dbus::{introspection::parse_interfaces, objects::Objects};

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
    // What no XML can say is shown as what it can, once.
    let shown = again(&objects.introspect("/a"));
    assert_eq!(again(&shown), shown);
    for interface in &interfaces {
        let name = interface.name();
        assert!(
            shown.contains(&format!("<interface name=\"{name}\"")),
            "{name} in {shown}"
        );
    }
}

/// What is shown of what a text declares that was shown.
fn again(shown: &str) -> String {
    let declared = parse_interfaces(shown).expect("what we write is read");
    let mut objects = Objects::default();
    let ours = declared.into_iter().filter(|one| !is_standard(one.name()));
    objects.insert("/a", ours).expect("it was taken before");
    objects.introspect("/a")
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
