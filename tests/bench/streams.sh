#!/usr/bin/env bash
# streams.sh [MEGABYTES [ROUNDS]]: octets from one network namespace to another, by a bare TCP connection, by a direct
# stream, and relayed over the mesh, in rounds that alternate. Prints seconds and the ratio to the bare connection.
# Needs root, or a user that may make user namespaces; socat and dbus-daemon. ZOCP names another binary.
set -euo pipefail
cd "$(dirname "$0")/../.."
if [[ ${1:-} != inside ]]; then
  [[ -n ${ZOCP:-} ]] || cargo build --release --quiet
  export ZOCP=${ZOCP:-${CARGO_TARGET_DIR:-$PWD/target}/release/zocp}
  exec unshare --user --map-root-user --net --mount --pid --fork --kill-child --mount-proc "$0" inside "$@"
fi
megabytes=${2:-1000} rounds=${3:-5}
place=$(mktemp -d)
mount -t tmpfs tmpfs "$place"
mkdir -p "$place/netns"
mount --bind "$place/netns" /run/netns 2>/dev/null || { mkdir -p /run/netns; mount -t tmpfs tmpfs /run/netns; }
ip link add one type veth peer name two
ip netns add far
ip link set two netns far
ip addr add 10.9.0.1/24 brd + dev one
ip link set lo up
ip link set one up
ip -n far addr add 10.9.0.2/24 brd + dev two
ip -n far link set lo up
ip -n far link set two up
for side in near far; do
  printf '<busconfig><listen>unix:path=%s</listen><auth>EXTERNAL</auth><policy context="default"><allow send_destination="*"/><allow own="*"/></policy></busconfig>' \
    "$place/$side.bus" >"$place/$side.conf"
  dbus-daemon --config-file="$place/$side.conf" --nopidfile --fork
done
export DBUS_SESSION_BUS_ADDRESS=unix:path=$place/near.bus
near() { "$@"; }
far() { DBUS_SESSION_BUS_ADDRESS=unix:path=$place/far.bus ip netns exec far "$@"; }
near "$ZOCP" bridge --name near --state "$place/near" >"$place/near.log" 2>&1 &
far "$ZOCP" bridge --name far --state "$place/far-state" >"$place/far.log" 2>&1 &
far socat -U TCP-LISTEN:5005,reuseaddr,fork SYSTEM:"head -c ${megabytes}000000 /dev/zero" &
until near "$ZOCP" streams far >/dev/null 2>&1; do sleep 0.1; done
far "$ZOCP" publish --source zeros --endpoint tcp://0.0.0.0:5005 2>/dev/null &
until near "$ZOCP" streams far | grep -q zeros; do sleep 0.1; done

seconds() {
  local begin end count
  begin=$(date +%s.%N)
  count=$("$@" | wc -c)
  end=$(date +%s.%N)
  [[ $count == "${megabytes}000000" ]] || { echo "only $count octets came" >&2; exit 1; }
  echo "$begin $end" | awk '{print $2 - $1}'
}
printf '%-8s %-8s %-8s %s\n' bare direct relay 'rate of direct, relay'
for ((round = 0; round < rounds; round++)); do
  bare=$(seconds socat -u TCP:10.9.0.2:5005 -)
  direct=$(near seconds "$ZOCP" stream far zeros --way direct)
  relay=$(near seconds "$ZOCP" stream far zeros --way relay)
  echo "$bare $direct $relay" | awk '{printf "%-8.3f %-8.3f %-8.3f %.2f %.2f\n", $1, $2, $3, $1 / $2, $1 / $3}'
done
