#!/usr/bin/env bash
# mesh.sh [options of `zocp-bench compare`]: whispers between two processes, ours beside zyre's, in a
# network namespace of its own. zyre takes part where pkg-config knows libzyre, or ZYRE_FLAGS (for the
# C compiler) says where it is; else ours runs alone.
set -euo pipefail
cd "$(dirname "$0")"
cargo build --release --quiet
target=${CARGO_TARGET_DIR:-$PWD/target}
rivals=()
flags=${ZYRE_FLAGS:-$(pkg-config --cflags --libs libzyre 2>/dev/null || true)}
if [ -n "$flags" ]; then
  # shellcheck disable=SC2086 # flags are words
  cc -O2 -o "$target/zyre_peer" zyre_peer.c $flags -lzyre -lczmq -lzmq
  rivals=(--rival "zyre=$target/zyre_peer")
fi
export target
# shellcheck disable=SC2016 # expanded inside
exec unshare --user --map-root-user --net bash -euc '
  ip link set lo up
  ip link add mesh0 type veth peer name far0
  ip link set far0 up
  ip address add 10.99.1.1/24 broadcast 10.99.1.255 dev mesh0
  ip link set mesh0 up
  "$target/release/zocp-bench" compare "$@"' bash "${rivals[@]}" "$@"
