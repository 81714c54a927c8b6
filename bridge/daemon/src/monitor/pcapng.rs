//! A capture file in blocks, as Wireshark reads it.
//!
//! Model: a section header, two interfaces, then a block for each packet. Everything is little endian,
//! padded to four octets; a block says its length before and behind.
//! Invariants: PCAPNG-1. A block is written whole or not at all, so a file that ends anywhere is read up to there.
//! Limits: a packet of more than [`CAPTURED_MAX`] octets is cut, and its block says how long it was.
//! Spec: pcapng (IETF draft-ietf-opsawg-pcapng), blocks 0x0A0D0D0A, 1 and 6

/// One of the two interfaces of our files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interface {
    /// IP packets: the mesh.
    Mesh,
    /// D-Bus messages: the services of other buses.
    Services,
}

/// What a packet's block says beside its octets.
#[derive(Debug, Clone, Copy)]
pub(super) struct About<'a> {
    /// Microseconds since 1970.
    pub(super) at: u64,
    pub(super) is_inbound: bool,
    pub(super) comment: &'a str,
    /// Events that were dropped before it.
    pub(super) dropped: u64,
}

/// The section and its two interfaces.
pub(super) fn begin(out: &mut Vec<u8>) {
    block(out, SECTION_HEADER, |out| {
        put32(out, BYTE_ORDER_MAGIC);
        // Version 1.0, and a length that is not known.
        out.extend_from_slice(&[1, 0, 0, 0]);
        out.extend_from_slice(&u64::MAX.to_le_bytes());
        option(
            out,
            SHB_USERAPPL,
            concat!("zocp ", env!("CARGO_PKG_VERSION")).as_bytes(),
        );
        end_of_options(out);
    });
    for (link_type, name, what) in [
        (
            LINKTYPE_RAW,
            "mesh",
            "messages of the mesh, each as the TCP segment that it was in",
        ),
        (
            LINKTYPE_DBUS,
            "services",
            "D-Bus messages of services, as they are on the mesh",
        ),
    ] {
        block(out, INTERFACE_DESCRIPTION, |out| {
            out.extend_from_slice(&link_type.to_le_bytes());
            out.extend_from_slice(&[0, 0]);
            put32(out, 0);
            option(out, IF_NAME, name.as_bytes());
            option(out, IF_DESCRIPTION, what.as_bytes());
            end_of_options(out);
        });
    }
}

/// A packet.
pub(super) fn packet(out: &mut Vec<u8>, interface: Interface, about: About<'_>, octets: &[u8]) {
    block(out, ENHANCED_PACKET, |out| {
        put32(
            out,
            match interface {
                Interface::Mesh => 0,
                Interface::Services => 1,
            },
        );
        put32(out, (about.at >> 32) as u32);
        put32(out, about.at as u32);
        let captured = &octets[..octets.len().min(CAPTURED_MAX)];
        // Both are below 2^32: the one by its bound, the other as what was a message.
        put32(out, captured.len() as u32);
        put32(out, u32::try_from(octets.len()).unwrap_or(u32::MAX));
        out.extend_from_slice(captured);
        pad(out, captured.len());
        option(out, COMMENT, about.comment.as_bytes());
        let direction: u32 = if about.is_inbound { 1 } else { 2 };
        option(out, EPB_FLAGS, &direction.to_le_bytes());
        if about.dropped > 0 {
            option(out, EPB_DROPCOUNT, &about.dropped.to_le_bytes());
        }
        end_of_options(out);
    });
}

/// A block around what `body` writes.
fn block(out: &mut Vec<u8>, kind: u32, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    put32(out, kind);
    put32(out, 0);
    body(out);
    // With the second length; bodies are far shorter than 2^32.
    let len = (out.len() - start + 4) as u32;
    out[start + 4..start + 8].copy_from_slice(&len.to_le_bytes());
    put32(out, len);
}

fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = &value[..value.len().min(OPTION_LEN_MAX)];
    out.extend_from_slice(&code.to_le_bytes());
    out.extend_from_slice(&(value.len() as u16).to_le_bytes());
    out.extend_from_slice(value);
    pad(out, value.len());
}

fn end_of_options(out: &mut Vec<u8>) {
    put32(out, 0);
}

fn pad(out: &mut Vec<u8>, len: usize) {
    out.extend_from_slice(&[0; 3][..len.next_multiple_of(4) - len]);
}

fn put32(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(&number.to_le_bytes());
}

const SECTION_HEADER: u32 = 0x0A0D_0D0A;
const BYTE_ORDER_MAGIC: u32 = 0x1A2B_3C4D;
const INTERFACE_DESCRIPTION: u32 = 1;
const ENHANCED_PACKET: u32 = 6;
/// IPv4 or IPv6 without a link below, as the first octet says.
const LINKTYPE_RAW: u16 = 101;
const LINKTYPE_DBUS: u16 = 231;
const COMMENT: u16 = 1;
const SHB_USERAPPL: u16 = 4;
const IF_NAME: u16 = 2;
const IF_DESCRIPTION: u16 = 3;
const EPB_FLAGS: u16 = 2;
const EPB_DROPCOUNT: u16 = 4;
/// The longest packet that Wireshark takes of D-Bus is 128 MiB; this is as much as waits for a watcher.
const CAPTURED_MAX: usize = 16 << 20;
/// Comments are ours and short; peers' names in them have 255 octets at most.
const OPTION_LEN_MAX: usize = 1024;
