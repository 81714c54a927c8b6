//! A message bus at an address, for tests and benchmarks: started like `dbus-daemon`.
//!
//! ```sh
//! cargo run -p zocp-bus --example bus -- --print-address --address=unix:path=/tmp/bus
//! ```
#![allow(clippy::expect_used, reason = "an example ends at its first error")]

use std::{io::Write, path::Path};

use zocp_bus::{Server, ServerConfig};

fn main() {
    let address = std::env::args().find_map(|arg| Some(arg.strip_prefix("--address=")?.to_owned()));
    let address = address.expect("--address=unix:path=PATH");
    let path = address
        .strip_prefix("unix:path=")
        .expect("the address of a socket");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let address = address.clone();
    let path = path.to_owned();
    // A task like any other: the future that the runtime itself waits for is looked after last.
    let served = runtime.spawn(async move {
        let server = Server::bind(Path::new(&path), ServerConfig::for_user()).expect("a socket");
        let mut stdout = std::io::stdout();
        writeln!(stdout, "{address},guid={}", server.handle().guid()).expect("standard output");
        stdout.flush().expect("standard output");
        std::future::pending::<()>().await;
    });
    runtime.block_on(served).expect("the bus runs");
}
