//! That the relay says how it is called. The test of a package is also what has its program built for other tests.

use std::process::Command;

#[test]
fn without_arguments_it_says_how_it_is_called() {
    let relay = Command::new(env!("CARGO_BIN_EXE_zocp-test-relay"))
        .output()
        .unwrap();
    assert!(!relay.status.success());
    let said = String::from_utf8_lossy(&relay.stderr);
    assert!(said.contains("ADDRESS CERTIFICATE"), "{said}");
}
