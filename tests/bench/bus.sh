#!/usr/bin/env bash
# bus.sh [ROUNDS]: calls and signals over this bus, dbus-daemon and dbus-broker (where it runs), in batches that
# alternate. Prints a table; the ratios count.
set -euo pipefail
cd "$(dirname "$0")/../.."
cargo build --release --quiet -p zocp-bus --examples
target=${CARGO_TARGET_DIR:-$PWD/target}
exec "$target/release/examples/bench" "$target/release/examples/bus" "$@"
