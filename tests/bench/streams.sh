#!/usr/bin/env bash
# streams.sh [MEGABYTES [ROUNDS]]: octets from one network namespace to another by a bare TCP connection, by a direct
# stream and by a relayed one, in rounds that alternate. Prints the medians, and the rates as shares of the bare one.
# ZOCP names another binary. Needs dbus-daemon and socat, and root or a user that may make user namespaces.
set -euo pipefail
cd "$(dirname "$0")"
if [[ ${1:-} != inside ]]; then
  [[ -n ${ZOCP:-} ]] || (cd ../.. && cargo build --release --quiet)
  export ZOCP=${ZOCP:-${CARGO_TARGET_DIR:-$PWD/../../target}/release/zocp}
  exec unshare --user --map-root-user --net --mount --pid --fork --kill-child --mount-proc ./streams.sh inside "$@"
fi
megabytes=${2:-500} rounds=${3:-5}
. ./two-hosts.sh
near "$ZOCP" bridge --name near --state "$dir/near-state" 2>"$dir/near.log" &
far "$ZOCP" bridge --name far --state "$dir/far-state" 2>"$dir/far.log" &
head -c "${megabytes}M" /dev/zero >"$dir/octets"
far socat -b 131072 -U TCP-LISTEN:5005,reuseaddr,fork OPEN:"$dir/octets,rdonly" &
far gdbus wait --address "unix:path=$dir/far" org.z25.Zocp1
far "$ZOCP" publish --source zeros --endpoint tcp://0.0.0.0:5005 2>/dev/null &
for ((tries = 0; ; tries++)); do
  near "$ZOCP" streams far 2>/dev/null | grep -q zeros && break
  ((tries < 100)) || { cat "$dir"/*.log >&2; exit 1; }
  sleep 0.1
done

# The seconds that a command takes to bring all octets.
seconds() {
  local count begin=$EPOCHREALTIME
  count=$("$@" | wc -c)
  [[ $count -eq $((megabytes << 20)) ]] || { echo "$*: $count octets came" >&2; exit 1; }
  awk -v begin="$begin" -v end="$EPOCHREALTIME" 'BEGIN {print end - begin}'
}
for ((round = 0; round < rounds; round++)); do
  seconds socat -b 131072 -u TCP:10.9.0.2:5005 - >>"$dir/bare"
  near seconds "$ZOCP" stream far zeros --way direct >>"$dir/direct"
  near seconds "$ZOCP" stream far zeros --way relay >>"$dir/relay"
done
median() { sort -g "$dir/$1" | awk '{all[NR] = $1} END {print all[int((NR + 1) / 2)]}'; }
awk -v m="$megabytes" -v bare="$(median bare)" -v direct="$(median direct)" -v relay="$(median relay)" 'BEGIN {
  printf "bare TCP  %6.0f MB/s\n", m / bare
  printf "direct    %6.0f MB/s  %.2f\n", m / direct, bare / direct
  printf "relay     %6.0f MB/s  %.2f\n", m / relay, bare / relay
}'
