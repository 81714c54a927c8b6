#!/usr/bin/env bash
# bridge.sh [options of `zocp-bench swarm`]: how soon a node is on the bus of a bridge (ours; zyre's
# where ZYRE_FLAGS or pkg-config knows of libzyre), a bridge with many nodes: time, memory, rest; and an
# emission from the bus of one bridge to that of another. In a network namespace of its own, with a
# dbus-daemon for each bridge.
set -euo pipefail
cd "$(dirname "$0")"
cargo build --release --quiet
(cd ../.. && cargo build --release --quiet)
target=${CARGO_TARGET_DIR:-$PWD/target}
zocp=${CARGO_TARGET_DIR:-$PWD/../../target}/release/zocp
flags=${ZYRE_FLAGS:-$(pkg-config --cflags --libs libzyre 2>/dev/null || true)}
if [ -n "$flags" ]; then
  # shellcheck disable=SC2086 # flags are words
  cc -O2 -o "$target/zyre_peer" zyre_peer.c $flags -lzyre -lczmq -lzmq
fi
export target zocp flags
# shellcheck disable=SC2016 # expanded inside
exec unshare --user --map-root-user --net bash -euc '
  ip link set lo up
  ip link add mesh0 type veth peer name far0
  ip link set far0 up
  ip address add 10.99.1.1/24 broadcast 10.99.1.255 dev mesh0
  ip link set mesh0 up
  dir=$(mktemp -d)
  trap "kill \$(jobs -p) 2>/dev/null; rm -rf \$dir" EXIT
  bus=unix:path=$dir/bus
  ulimit -n "$(ulimit -Hn)"
  dbus-daemon --session --nofork --nopidfile --address="$bus" &
  until [ -S "$dir/bus" ]; do read -rt 0.05 <> <(:) || true; done
  "$zocp" bridge --name bench --bus "$bus" --state "" 2>"$dir/log" &
  pid=$!
  gdbus wait --address "$bus" org.z25.Zocp1
  "$target/release/zocp-bench" appear "$bus"
  if [ -n "$flags" ]; then "$target/release/zocp-bench" appear "$bus" --program "$target/zyre_peer"; fi
  "$target/release/zocp-bench" wires "$bus"
  "$target/release/zocp-bench" large "$bus"
  "$target/release/zocp-bench" swarm "$bus" "$pid" "$@"
  far=unix:path=$dir/far
  dbus-daemon --session --nofork --nopidfile --address="$far" &
  until [ -S "$dir/far" ]; do read -rt 0.05 <> <(:) || true; done
  "$zocp" bridge --name far --bus "$far" --state "" 2>"$dir/log.far" &
  gdbus wait --address "$far" org.z25.Zocp1
  "$target/release/zocp-bench" emission "$bus" "$far"' bash "$@"
