#!/usr/bin/env bash
# one-machine.sh [MEGABYTES [ROUNDS]]: a stream at a Unix socket, from one bridge to another of the same machine: passed
# itself, and relayed, in rounds that alternate. Prints the medians: how fast octets come, a round trip of 1 KiB, and how
# long it takes to open the stream, to have it echo, and to close it. ZOCP names another binary. Needs dbus-daemon, a C
# compiler and libsystemd-dev, and root or a user that may make user namespaces.
set -euo pipefail
cd "$(dirname "$0")"
if [[ ${1:-} != inside ]]; then
  [[ -n ${ZOCP:-} ]] || (cd ../.. && cargo build --release --quiet)
  export ZOCP=${ZOCP:-${CARGO_TARGET_DIR:-$PWD/../../target}/release/zocp}
  exec unshare --user --map-root-user --net --mount --pid --fork --kill-child --mount-proc ./one-machine.sh \
    inside "$@"
fi
megabytes=${2:-1000} rounds=${3:-5} trips=10000 opens=300
. ./two-hosts.sh
cc -O2 -o "$dir/streams" streams.c -lsystemd
# Both buses are used on one host here.
here() { DBUS_SESSION_BUS_ADDRESS=unix:path=$dir/far "$@"; }
near "$ZOCP" bridge --name near --state "$dir/near-state" 2>"$dir/near.log" &
here "$ZOCP" bridge --name far --state "$dir/far-state" 2>"$dir/far.log" &
here gdbus wait --address "unix:path=$dir/far" org.z25.Zocp1
for what in echo flood; do
  "$dir/streams" "$what" "$dir/$what" &
  here "$ZOCP" publish --source "$what" --endpoint "unix:$dir/$what" 2>/dev/null &
done
for ((tries = 0; ; tries++)); do
  [[ $(near "$ZOCP" streams far 2>/dev/null | grep -cE 'echo|flood') -lt 2 ]] || break
  ((tries < 100)) || { cat "$dir"/*.log >&2; exit 1; }
  sleep 0.1
done

seconds() {
  local begin=$EPOCHREALTIME
  "$@" >/dev/null
  awk -v begin="$begin" -v end="$EPOCHREALTIME" 'BEGIN {print end - begin}'
}
for ((round = 0; round < rounds; round++)); do
  for way in direct relay; do
    near seconds "$ZOCP" stream far flood --way $way -- "$dir/streams" take "$megabytes" >>"$dir/rate-$way"
    near "$ZOCP" stream far echo --way $way -- "$dir/streams" trips "$trips" 1024 >>"$dir/trip-$way"
    near seconds "$dir/streams" opens "$opens" org.z25.Zocp1.Node.far echo $way >>"$dir/open-$way"
  done
done
median() { sort -g "$dir/$1" | awk '{all[NR] = $1} END {print all[int((NR + 1) / 2)]}'; }
for way in direct relay; do
  awk -v title="$way" -v m="$megabytes" -v rate="$(median rate-$way)" -v trip="$(median trip-$way)" \
    -v open="$(median open-$way)" -v opens="$opens" 'BEGIN {
    printf "%-7s %6.0f MB/s   round trip p50 %6.1f µs   open, echo and close %7.0f µs\n", title, m / rate, trip, open / opens * 1e6
  }'
done
