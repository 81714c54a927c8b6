#!/usr/bin/env bash
# link.sh [ROUNDS [LINKS]]: a call over a link between two venues beside a bare TCP echo on the same path, of 16 octets and
# of 64 KiB; and the memory that one bridge takes for each of LINKS further links. RATE=1mbit limits the line in both
# directions (tbf). ZOCP names another binary. Needs dbus-daemon, the Python of the tests (tests/run makes it), and root or
# a user that may make user namespaces.
set -euo pipefail
cd "$(dirname "$0")"
if [[ ${1:-} != inside ]]; then
  [[ -n ${ZOCP:-} ]] || (cd ../.. && cargo build --release --quiet)
  export ZOCP=${ZOCP:-${CARGO_TARGET_DIR:-$PWD/../../target}/release/zocp}
  export PYTHON=${PYTHON:-$PWD/../../target/venv/bin/python3}
  exec unshare --user --map-root-user --net --mount --pid --fork --kill-child --mount-proc ./link.sh inside "$@"
fi
rounds=${2:-2000} links=${3:-20}
. ./two-hosts.sh
key() { "$ZOCP" key new "$dir/$1.key" --json 2>/dev/null | "$PYTHON" -c 'import json, sys; print(json.load(sys.stdin)["key"])'; }
far_key=$(key far)
trusted=
for ((number = 0; number <= links; number++)); do
  trusted+="'$(key "near$number")', "
done
cat >"$dir/far.toml" <<END
[venue]
name = 'north'
key = '$dir/far.key'
listen = '10.9.0.2:5671'
trusted = [$trusted]
[[export]]
service = 'org.example.Echo'
talk = true
venues = ['*']
END
# A bridge of the south that links to the north. On its own mesh it is alone.
south() {
  printf '%s\n' "[mesh]" "loopback = true" "beacon = 'off'" "[venue]" "name = 'south'" "key = '$dir/near$1.key'" "[[link]]" \
    "to = 'tcp://10.9.0.2:5671|$far_key'" >"$dir/near$1.toml"
  "$ZOCP" bridge --name "near$1" --state "$dir/near$1-state" --config "$dir/near$1.toml" "${@:2}" 2>"$dir/near$1.log"
}
if [[ -n ${RATE:-} ]]; then
  tc qdisc add dev near root tbf rate "$RATE" burst 4kb latency 100ms
  tc -n far qdisc add dev far root tbf rate "$RATE" burst 4kb latency 100ms
fi
far "$PYTHON" link.py serve "unix:path=$dir/far" org.example.Echo &
far "$PYTHON" link.py echo 10.9.0.2 9913 &
far "$ZOCP" bridge --name far --state "$dir/far-state" --config "$dir/far.toml" 2>"$dir/far.log" &
near south 0 &
near timeout 30 gdbus wait --session org.example.Echo.north.far || { cat "$dir"/*.log >&2; exit 1; }
near "$PYTHON" link.py measure "unix:path=$dir/near" org.example.Echo.north.far 10.9.0.2 9913 "$rounds"

# The resident memory of the bridge of the north; its name is in its command line.
memory() {
  local pid
  pid=$(pgrep -f -- "bridge --name far --state" | head -n 1)
  awk '/^VmRSS/ {print $2}' "/proc/$pid/status"
}
linked() { far "$ZOCP" link --json | "$PYTHON" -c 'import json, sys; print(len(json.load(sys.stdin)))'; }
before=$(memory)
for ((number = 1; number <= links; number++)); do
  south "$number" --bus embedded >/dev/null &
done
for ((tries = 0; $(linked) <= links; tries++)); do
  ((tries < 60)) || { cat "$dir"/*.log >&2; exit 1; }
done
awk -v before="$before" -v after="$(memory)" -v links="$links" 'BEGIN {
  printf "memory of a bridge: %.1f MB with one link, %.0f KB for each of %d more\n", before / 1024, (after - before) / links, links
}'
