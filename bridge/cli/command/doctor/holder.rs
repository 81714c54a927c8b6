//! Which programs have a UDP port, from what the kernel shows in `/proc`.
//!
//! Model: a line of `/proc/net/udp` has the port and the inode of a socket; the program that has the socket has a
//! descriptor that names the inode. Of programs of other users only root sees the descriptors.

use std::{collections::BTreeSet, fs, path::Path};

/// The programs that have this port, each with its process; empty where nobody may be seen.
pub(super) fn holders(port: u16) -> Vec<String> {
    let table = fs::read_to_string("/proc/net/udp").unwrap_or_default();
    let inodes = inodes(&table, port);
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut found = Vec::new();
    for process in processes {
        let id = process.file_name();
        let is_process = id
            .to_string_lossy()
            .bytes()
            .all(|digit| digit.is_ascii_digit());
        if is_process && has_socket(&process.path(), &inodes) {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            found.push(format!(
                "{} (process {})",
                name.trim(),
                id.to_string_lossy()
            ));
        }
    }
    found
}

/// The inodes of the sockets at a port.
fn inodes(table: &str, port: u16) -> BTreeSet<String> {
    let end = format!(":{port:04X}");
    let lines = table.lines().skip(1);
    lines
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            words.nth(1)?.ends_with(&end).then_some(())?;
            Some(format!("socket:[{}]", words.nth(7)?))
        })
        .collect()
}

fn has_socket(process: &Path, inodes: &BTreeSet<String>) -> bool {
    let descriptors = fs::read_dir(process.join("fd")).into_iter().flatten();
    descriptors
        .flatten()
        .filter_map(|descriptor| fs::read_link(descriptor.path()).ok())
        .any(|target| inodes.contains(&*target.to_string_lossy()))
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn the_program_that_has_a_port_is_found() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let ours = format!("(process {})", std::process::id());
        let found = holders(port);
        assert!(
            found.iter().any(|holder| holder.ends_with(&ours)),
            "{found:?}"
        );
        drop(socket);
        assert!(holders(port).iter().all(|holder| !holder.ends_with(&ours)));
    }

    #[test]
    fn a_line_of_the_table_has_port_and_inode() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref\n  \
                     311: 00000000:1626 00000000:0000 07 00000000:00000000 00:00000000 00000000  1000        0 28271 2 0 0\n";
        assert_eq!(
            inodes(table, 5670).into_iter().collect::<Vec<_>>(),
            ["socket:[28271]"]
        );
        assert!(inodes(table, 5671).is_empty());
    }
}
