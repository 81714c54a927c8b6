#!/usr/bin/env bash
# streams-latency.sh [TRIPS [ROUNDS]]: round trips of 1 KiB from one network namespace to another over a bare TCP
# connection, a direct stream, a relayed one, and two socats that do what the relay does (Unix socket, TCP, TCP), in
# rounds that alternate; then calls of a service of the other machine, alone, beside four relayed streams that are as
# fast as they can be, and beside four socats that fetch as much without a bridge. Prints the medians over the
# rounds of the medians and the 99th percentiles, and how many times those of the bare connection, or of the call alone, they are.
# ZOCP names another binary. Needs dbus-daemon, socat, a C compiler and libsystemd-dev, and root or a user that may make
# user namespaces.
set -euo pipefail
cd "$(dirname "$0")"
if [[ ${1:-} != inside ]]; then
  [[ -n ${ZOCP:-} ]] || (cd ../.. && cargo build --release --quiet)
  export ZOCP=${ZOCP:-${CARGO_TARGET_DIR:-$PWD/../../target}/release/zocp}
  exec unshare --user --map-root-user --net --mount --pid --fork --kill-child --mount-proc ./streams-latency.sh \
    inside "$@"
fi
trips=${2:-20000} rounds=${3:-5}
. ./two-hosts.sh
cc -O2 -o "$dir/streams" streams.c -lsystemd
printf '[[export]]\nservice = "org.example.Echo"\ntalk = true\n' >"$dir/far.toml"
near "$ZOCP" bridge --name near --state "$dir/near-state" 2>"$dir/near.log" &
far "$ZOCP" bridge --name far --state "$dir/far-state" --config "$dir/far.toml" 2>"$dir/far.log" &
far "$dir/streams" echo 5005 &
far "$dir/streams" flood 5006 &
far socat TCP-LISTEN:5007,reuseaddr,fork,nodelay TCP:10.9.0.2:5005,nodelay &
socat UNIX-LISTEN:"$dir/socat",fork TCP:10.9.0.2:5007,nodelay &
far gdbus wait --address "unix:path=$dir/far" org.z25.Zocp1
far "$dir/streams" serve org.example.Echo &
for stream in echo:5005 flood:5006; do
  far "$ZOCP" publish --source "${stream%:*}" --endpoint "tcp://0.0.0.0:${stream#*:}" 2>/dev/null &
done
for ((tries = 0; ; tries++)); do
  [[ $(near "$ZOCP" streams far 2>/dev/null | grep -cE 'echo|flood') -lt 2 ]] || break
  ((tries < 100)) || { cat "$dir"/*.log >&2; exit 1; }
  sleep 0.1
done
near gdbus wait --address "unix:path=$dir/near" org.example.Echo.far

beside() { # file, command: calls while it runs four times
  local file=$1 floods=() stream
  shift
  for ((stream = 0; stream < 4; stream++)); do
    "$@" >/dev/null &
    floods+=($!)
  done
  sleep 1
  calls >>"$dir/$file"
  kill "${floods[@]}"
  wait "${floods[@]}" 2>/dev/null || true
}
calls() { near "$dir/streams" calls "$((trips / 4))" org.example.Echo.far; }
for ((round = 0; round < rounds; round++)); do
  "$dir/streams" trips "$trips" 1024 10.9.0.2 5005 >>"$dir/bare"
  near "$ZOCP" stream far echo --way direct -- "$dir/streams" trips "$trips" 1024 >>"$dir/direct"
  near "$ZOCP" stream far echo --way relay -- "$dir/streams" trips "$trips" 1024 >>"$dir/relay"
  "$dir/streams" trips "$trips" 1024 "$dir/socat" 0 >>"$dir/socats"
  calls >>"$dir/alone"
  beside relayed env DBUS_SESSION_BUS_ADDRESS="unix:path=$dir/near" "$ZOCP" stream far flood --way relay
  beside bulk socat -b 131072 -u TCP:10.9.0.2:5006 -
done
median() { sort -gk "$2,$2" "$dir/$1" | awk -v field="$2" '{all[NR] = $field} END {print all[int((NR + 1) / 2)]}'; }
row() { # title, file, the file that it is compared to
  awk -v title="$1" -v p50="$(median "$2" 1)" -v p99="$(median "$2" 2)" -v b50="$(median "$3" 1)" -v b99="$(median "$3" 2)" \
    'BEGIN {printf "%-28s p50 %7.1f µs  %5.2f   p99 %7.1f µs  %5.2f\n", title, p50, p50 / b50, p99, p99 / b99}'
}
row "1 KiB, bare TCP" bare bare
row "1 KiB, direct" direct bare
row "1 KiB, relay" relay bare
row "1 KiB, two socats" socats bare
row "call alone" alone alone
row "call beside four streams" relayed alone
row "call beside four socats" bulk alone
