#!/usr/bin/env bash
# streams-soak.sh [SECONDS [STREAMS]]: so many relayed streams at once from one network namespace to another, each with
# numbered lines of its own. Prints, each minute, the memory and the descriptors of both bridges, and at the end how many
# lines came; a line that is missing, twice or of another stream ends it with an error. ZOCP names another binary.
# Needs dbus-daemon, and root or a user that may make user namespaces.
set -euo pipefail
cd "$(dirname "$0")"
if [[ ${1:-} != inside ]]; then
  [[ -n ${ZOCP:-} ]] || (cd ../.. && cargo build --release --quiet)
  export ZOCP=${ZOCP:-${CARGO_TARGET_DIR:-$PWD/../../target}/release/zocp}
  exec unshare --user --map-root-user --net --mount --pid --fork --kill-child --mount-proc ./streams-soak.sh inside "$@"
fi
seconds=${2:-1800} streams=${3:-50}
. ./two-hosts.sh
DBUS_SESSION_BUS_ADDRESS=unix:path=$dir/near "$ZOCP" bridge --name near --state "$dir/near-state" 2>"$dir/near.log" &
near_pid=$!
DBUS_SESSION_BUS_ADDRESS=unix:path=$dir/far ip netns exec far "$ZOCP" bridge --name far --state "$dir/far-state" \
  2>"$dir/far.log" &
far_pid=$!
far gdbus wait --address "unix:path=$dir/far" org.z25.Zocp1

# 400 lines a second, each with the number of its stream and its own.
source='awk -v stream="$1" "BEGIN {for (;;) {for (i = 0; i < 20; i++) print stream, n++; fflush(); system(\"sleep 0.05\")}}"'
for ((stream = 0; stream < streams; stream++)); do
  far "$ZOCP" publish --source "s$stream" -- sh -c "$source" sh "$stream" 2>>"$dir/publish.log" &
done
for ((tries = 0; ; tries++)); do
  known=$(near "$ZOCP" streams far 2>/dev/null | grep -c '\bs[0-9]' || true)
  [[ $known -lt $streams ]] || break
  ((tries < 600)) || { cat "$dir"/*.log >&2; exit 1; }
  sleep 0.1
done
holders=()
for ((stream = 0; stream < streams; stream++)); do
  (near timeout "$seconds" "$ZOCP" stream far "s$stream" --way relay 2>>"$dir/stream.log" || true) |
    awk -v stream="$stream" 'NF == 2 && ($1 != stream || $2 != n++) {print "stream", stream, "line", n, "is", $0; exit 1}
                             END {print n + 0}' >"$dir/said$stream" &
  holders+=($!)
done

state() { # of a process: KiB of memory, descriptors
  awk '/VmRSS/ {printf "%d", $2}' "/proc/$1/status"
  echo " $(ls "/proc/$1/fd" | wc -l)"
}
echo "minute, memory in KiB and descriptors of the near bridge, and of the far one:"
for ((minute = 0; minute * 60 < seconds; minute++)); do
  sleep 10
  echo "$minute $(state $near_pid) $(state $far_pid)"
  sleep 50
done
failed=0
for holder in "${holders[@]}"; do
  wait "$holder" || failed=1
done
sleep 2
echo "at the end $(state $near_pid) $(state $far_pid)"
if ((failed)); then
  grep -h line "$dir"/said* >&2
  exit 1
fi
awk '{lines += $1; if (NR == 1 || $1 < least) least = $1} END {print lines, "lines came, at least", least, "of each stream"}' "$dir"/said*
