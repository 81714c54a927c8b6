//! libdbus, the reference implementation, asked whether it takes a message.
//!
//! Model: dbus-daemon reads with libdbus; what libdbus refuses gets the connection that sent it closed. The
//! library is loaded when it is there (whoever has dbus-daemon has it); no header or link is needed.
//! Invariants: R1. [`takes`] answers what `dbus_message_demarshal` answers, which checks header and body
//! like a message from a stranger.
#![expect(
    unsafe_code,
    reason = "a foreign library; three functions of its stable interface"
)]

use std::ffi::{c_char, c_int, c_void};
use std::ptr;
use std::sync::OnceLock;

use libloading::Library;

/// Whether libdbus takes these octets for a message; `None` where it is not installed.
#[must_use]
pub fn takes(octets: &[u8]) -> Option<bool> {
    static LIBRARY: OnceLock<Option<Dbus>> = OnceLock::new();
    let dbus = LIBRARY.get_or_init(Dbus::load).as_ref()?;
    let len = c_int::try_from(octets.len()).ok()?;
    // SAFETY: the pointer is good for `len` octets, which are only read; without a DBusError, null is
    // what the interface wants; the message is ours and given back once.
    unsafe {
        let message = (dbus.demarshal)(octets.as_ptr().cast(), len, ptr::null_mut());
        if message.is_null() {
            return Some(false);
        }
        (dbus.unref)(message);
    }
    Some(true)
}

type Demarshal = unsafe extern "C" fn(*const c_char, c_int, *mut c_void) -> *mut c_void;
type Unref = unsafe extern "C" fn(*mut c_void);

struct Dbus {
    demarshal: Demarshal,
    unref: Unref,
    _library: Library,
}

impl Dbus {
    fn load() -> Option<Self> {
        // SAFETY: libdbus does nothing when it is loaded, and both types are those of its headers.
        unsafe {
            let library = Library::new("libdbus-1.so.3").ok()?;
            Some(Self {
                demarshal: *library.get(b"dbus_message_demarshal\0").ok()?,
                unref: *library.get(b"dbus_message_unref\0").ok()?,
                _library: library,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_takes_a_message_and_refuses_half_of_it() {
        let message = zbus::Message::method_call("/a", "Do")
            .build(&"text")
            .unwrap();
        let octets = message.data().bytes();
        let Some(taken) = takes(octets) else {
            return eprintln!("libdbus is not installed: nothing is compared with it");
        };
        assert!(taken);
        assert_eq!(takes(&octets[..octets.len() / 2]), Some(false));
    }
}
