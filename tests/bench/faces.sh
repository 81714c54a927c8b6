#!/usr/bin/env bash
# faces.sh [seconds of the flood]: `zocp osc` on one host, a bridge with its bus on another, in network namespaces of
# their own. How long a message of OSC takes to a signal of the other host's bus, and a Set there to a datagram, beside
# a bare round trip of UDP between the two hosts in the same run; then 10,000 messages a second.
# ZOCP names the binary (by default the release build), PYTHON one with tests/peers/requirements.txt.
set -euo pipefail
cd "$(dirname "$0")/../.."
export zocp=${ZOCP:-$PWD/target/release/zocp}
export python=${PYTHON:-$PWD/target/venv/bin/python}
export script=$PWD/tests/bench/faces.py seconds=${1:-60}
[ -x "$zocp" ] || cargo build --release --quiet
# shellcheck disable=SC2016 # expanded inside
exec unshare --user --map-root-user --net --mount bash -euc '
  mount -t tmpfs run /run
  dir=/run/faces; mkdir "$dir"
  trap "kill \$(jobs -p) 2>/dev/null" EXIT
  pause() { read -rt 0.05 <> <(:) || true; }
  ip link set lo up
  ip netns add stage
  ip link add foh0 type veth peer name stage0 netns stage
  ip addr add 10.99.0.1/24 broadcast + dev foh0; ip link set foh0 up
  ip -n stage addr add 10.99.0.2/24 broadcast + dev stage0; ip -n stage link set stage0 up; ip -n stage link set lo up
  dbus-daemon --session --nofork --nopidfile --address="unix:path=$dir/bus" 2>/dev/null &
  until [ -S "$dir/bus" ]; do pause; done
  ip netns exec stage "$zocp" bridge --name stage --bus "unix:path=$dir/bus" --state "" 2>"$dir/bridge.log" & bridge=$!
  gdbus wait --address "unix:path=$dir/bus" org.z25.Zocp1
  ip netns exec stage "$python" "$script" echo &
  "$zocp" osc --listen 127.0.0.1:9000 --send 127.0.0.1:9001 2>"$dir/osc.log" & osc=$!
  until grep -q "OSC at" "$dir/osc.log"; do pause; done
  "$python" "$script" measure "unix:path=$dir/bus" "$osc" "$bridge" "$seconds"' bash
