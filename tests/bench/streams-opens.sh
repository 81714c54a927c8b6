#!/usr/bin/env bash
# streams-opens.sh [COUNT]: opens a relayed stream of another network namespace, has it echo, and closes it, so many
# times; then direct ones; then passes pipes to a service there and gets pipes from it. After each tenth it prints the
# memory in KiB and the descriptors of both bridges. It ends with an error when anything that was sent did not come
# back whole, when a descriptor is left, or when a bridge has grown by more than 8 MiB since the first tenth. ZOCP
# names another binary. Needs dbus-daemon, a C compiler and libsystemd-dev, and root or a user that may make user namespaces.
set -euo pipefail
cd "$(dirname "$0")"
if [[ ${1:-} != inside ]]; then
  [[ -n ${ZOCP:-} ]] || (cd ../.. && cargo build --release --quiet)
  export ZOCP=${ZOCP:-${CARGO_TARGET_DIR:-$PWD/../../target}/release/zocp}
  exec unshare --user --map-root-user --net --mount --pid --fork --kill-child --mount-proc ./streams-opens.sh \
    inside "$@"
fi
count=${2:-10000}
. ./two-hosts.sh
cc -O2 -o "$dir/streams" streams.c -lsystemd
kinds='descriptors = ["pipe"]'
printf '[[export]]\nservice = "org.example.Echo"\ntalk = true\n%s\n' "$kinds" >"$dir/far.toml"
printf '[[import]]\nservice = "org.example.Echo"\n%s\n' "$kinds" >"$dir/near.toml"
DBUS_SESSION_BUS_ADDRESS=unix:path=$dir/near "$ZOCP" bridge --name near --state "$dir/near-state" \
  --config "$dir/near.toml" 2>"$dir/near.log" &
near_pid=$!
DBUS_SESSION_BUS_ADDRESS=unix:path=$dir/far ip netns exec far "$ZOCP" bridge --name far --state "$dir/far-state" \
  --config "$dir/far.toml" 2>"$dir/far.log" &
far_pid=$!
far "$dir/streams" echo 5005 &
far gdbus wait --address "unix:path=$dir/far" org.z25.Zocp1
far "$dir/streams" serve org.example.Echo &
far "$ZOCP" publish --source echo --endpoint tcp://0.0.0.0:5005 2>/dev/null &
for ((tries = 0; ; tries++)); do
  near "$ZOCP" streams far 2>/dev/null | grep -q echo && break
  ((tries < 100)) || { cat "$dir"/*.log >&2; exit 1; }
  sleep 0.1
done
near gdbus wait --address "unix:path=$dir/near" org.example.Echo.far

descriptors() { find "/proc/$1/fd" -type l | wc -l; }
memory() { awk '/VmRSS/ {print $2}' "/proc/$1/status"; }
state() { echo "$(memory $near_pid) $(descriptors $near_pid) $(memory $far_pid) $(descriptors $far_pid)"; }
settled() { # waits until no bridge has more descriptors than these
  for ((tries = 0; $(descriptors $near_pid) > $1 || $(descriptors $far_pid) > $2; tries++)); do
    ((tries < 100)) || { echo "descriptors are left: $(state)" >&2; exit 1; }
    sleep 0.1
  done
}
run() { # title, arguments of `streams` before and after the count
  local title=$1 what=$2 tenth first
  shift 2
  near "$dir/streams" "$what" 20 "$@" >/dev/null
  sleep 1
  local before_near before_far
  before_near=$(descriptors $near_pid) before_far=$(descriptors $far_pid)
  echo "$title; memory and descriptors of the near bridge, and of the far one:"
  echo "  before: $(state)"
  for ((tenth = 1; tenth <= 10; tenth++)); do
    near "$dir/streams" "$what" $((count / 10)) "$@" >/dev/null
    settled "$before_near" "$before_far"
    echo "  $((tenth * count / 10)): $(state)"
    ((tenth > 1)) || first=($(memory $near_pid) $(memory $far_pid))
  done
  if (($(memory $near_pid) > first[0] + 8192 || $(memory $far_pid) > first[1] + 8192)); then
    echo "a bridge has grown" >&2
    exit 1
  fi
}
run "relayed streams" opens org.z25.Zocp1.Node.far echo relay
run "direct streams" opens org.z25.Zocp1.Node.far echo direct
run "pipes of a service, one there and one back" pipes org.example.Echo.far
