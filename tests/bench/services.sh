#!/usr/bin/env bash
# services.sh [options of `zocp-bench services`]: a service called on its own bus and through two bridges,
# each on a dbus-daemon of its own, in a network namespace of its own. MINIBRIDGE names a program that only
# forwards, to be measured beside them: `PROGRAM far --bus BUS --dest NAME --listen ADDRESS` beside the
# service, `PROGRAM near --bus BUS --dest NAME --connect ADDRESS` on the other bus. VIEW=1 measures a view on it
# as well (`zocp exec`), SOCAT=1 two socats that forward the socket of the first bus over TCP, and SSH=1 `ssh -L` of it
# (as root, with sshd). TRACE=1 counts the system calls of both bridges instead (strace), for each of 1000 calls of 16
# octets; TRACE=view those of calls through a view. FAIR=1 measures instead how long a call takes while another client
# has 10,000 under way: on the buses, on the bus of a view, of the bridge itself, and of services through it. OPEN=1
# measures how long a program in a view takes to start, and what a view needs of memory. BEFORE names a `zocp` of another
# version, whose bridges are measured beside these, on buses of their own with a service of their own.
set -euo pipefail
cd "$(dirname "$0")"
cargo build --release --quiet
(cd ../.. && cargo build --release --quiet && cargo build --release --quiet -p zocp-bus --examples)
bench=${CARGO_TARGET_DIR:-$PWD/target}/release/zocp-bench
zocp=${ZOCP:-${CARGO_TARGET_DIR:-$PWD/../../target}/release/zocp}
examples=${CARGO_TARGET_DIR:-$PWD/../../target}/release/examples
export bench zocp examples VIEW=${VIEW:-} SOCAT=${SOCAT:-} SSH=${SSH:-} MINIBRIDGE=${MINIBRIDGE:-} TRACE=${TRACE:-} FAIR=${FAIR:-} OPEN=${OPEN:-} BEFORE=${BEFORE:-}
# sshd has users of its own, which a namespace of one user has not.
namespaces=(--net)
[ "$(id -u)" = 0 ] || namespaces+=(--user --map-root-user)
# shellcheck disable=SC2016 # expanded inside
exec unshare "${namespaces[@]}" bash -euc '
  ip link set lo up
  dir=$(mktemp -d)
  trap "kill \$(jobs -p) 2>/dev/null; rm -rf \$dir" EXIT
  pause() { read -rt 0.05 <> <(:) || true; }
  # across PROGRAM NEAR FAR: the service on the bus NEAR, and on the bus FAR by way of two bridges, whose process ids are
  # then in `exporter` and `importer`.
  across() {
    local program=$1 near=unix:path=$dir/$2 far=unix:path=$dir/$3 port mesh="[mesh]\nloopback = true\nbeacon = \"off\"\n"
    for bus in "$2" "$3"; do
      dbus-daemon --session --nofork --nopidfile --address="unix:path=$dir/$bus" 2>/dev/null &
      until [ -S "$dir/$bus" ]; do pause; done
    done
    "$bench" serve "$near" &
    printf "$mesh[[export]]\nservice = \"org.example.Bench\"\ntalk = true\n" > "$dir/$2.toml"
    "$program" bridge --name stage --bus "$near" --config "$dir/$2.toml" 2>"$dir/$2.log" & exporter=$!
    until port=$(grep -om1 "mesh port [0-9]*" "$dir/$2.log"); do pause; done
    printf "${mesh}peers = [\"tcp://127.0.0.1:%s\"]\n" "${port##* }" > "$dir/$3.toml"
    "$program" bridge --name foh --bus "$far" --config "$dir/$3.toml" 2>"$dir/$3.log" & importer=$!
    gdbus wait --address "$far" org.example.Bench.stage
  }
  stage=unix:path=$dir/stage foh=unix:path=$dir/foh
  if [ -n "$BEFORE" ]; then across "$BEFORE" stage-before foh-before; fi
  across "$zocp" stage foh
  targets=(--target "direct|$stage|org.example.Bench" --target "zocp|$foh|org.example.Bench.stage")
  if [ -n "$BEFORE" ]; then targets+=(--target "before|unix:path=$dir/foh-before|org.example.Bench.stage"); fi
  if [ -n "$MINIBRIDGE" ]; then
    "$MINIBRIDGE" far --bus "$stage" --dest org.example.Bench --listen 127.0.0.1:9911 >"$dir/far" &
    until [ -s "$dir/far" ]; do pause; done
    "$MINIBRIDGE" near --bus "$foh" --dest org.example.Mini --connect 127.0.0.1:9911 >"$dir/near" &
    until [ -s "$dir/near" ]; do pause; done
    targets+=(--target "minibridge|$foh|org.example.Mini")
  fi
  if [ -n "$VIEW$FAIR" ] || [ "$TRACE" = view ]; then
    "$zocp" exec --bus "$foh" stage -- sh -c "printenv DBUS_SESSION_BUS_ADDRESS; exec sleep infinity" >"$dir/view" &
    until [ -s "$dir/view" ]; do pause; done
    targets+=(--target "view|$(cat "$dir/view")|org.example.Bench")
  fi
  if [ -n "$SOCAT" ]; then
    socat TCP-LISTEN:9912,bind=127.0.0.1,fork,nodelay UNIX-CONNECT:"$dir/stage" &
    socat UNIX-LISTEN:"$dir/forwarded",fork TCP:127.0.0.1:9912,nodelay &
    until [ -S "$dir/forwarded" ]; do pause; done
    targets+=(--target "socat|unix:path=$dir/forwarded|org.example.Bench")
  fi
  if [ -n "$SSH" ]; then
    mkdir -p /run/sshd
    ssh-keygen -qt ed25519 -N "" -f "$dir/key"
    /usr/sbin/sshd -Def /dev/null -p 9913 -h "$dir/key" -o ListenAddress=127.0.0.1 -o PidFile=none \
      -o AuthorizedKeysFile="$dir/key.pub" -o StrictModes=no 2>"$dir/sshd.log" &
    ssh -NF /dev/null -p 9913 -i "$dir/key" -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
      -o ConnectionAttempts=20 -L "$dir/ssh:$dir/stage" 127.0.0.1 2>"$dir/ssh.log" &
    until [ -S "$dir/ssh" ]; do pause; done
    targets+=(--target "ssh|unix:path=$dir/ssh|org.example.Bench")
  fi
  if [ -n "$FAIR" ]; then
    "$examples/bus" --address="unix:path=$dir/bus" >/dev/null &
    until [ -S "$dir/bus" ]; do pause; done
    dbus=org.freedesktop.DBus view=$(cut -d= -f2 "$dir/view")
    id="$dbus|/org/freedesktop/DBus|$dbus|GetId"
    get="/org/example/Bench|$dbus.Properties|Get|org.example.Bench|Value"
    "$examples/bench" fair "dbus-daemon|$dir/foh|$id" "its services|$dir/foh" \
      "the bridge on it|$dir/foh|org.z25.Zocp1|/org/z25/Zocp1|$dbus.Peer|Ping" \
      "Get, from memory|$dir/foh|org.example.Bench.stage|$get" \
      "our bus|$dir/bus|$id" "its services|$dir/bus" \
      "bus of a view|$view|$id" "its services|$view" \
      "Get in it, from memory|$view|org.example.Bench|$get"
    exit
  fi
  if [ -n "$OPEN" ]; then
    # In milliseconds, the median of 21.
    time_of() {
      for _ in {1..21}; do
        local start=${EPOCHREALTIME/[.,]/}
        "$@" >/dev/null
        echo $((${EPOCHREALTIME/[.,]/} - start))
      done | sort -n | awk "NR == 11 { printf \"%.1f ms\n\", \$1 / 1000 }"
    }
    anonymous() { awk "/^Anonymous/ { print \$2 }" "/proc/$importer/smaps_rollup"; }
    echo "zocp exec stage -- true: $(time_of "$zocp" exec --bus "$foh" stage -- true)"
    echo "zocp list: $(time_of "$zocp" list --bus "$foh")"
    echo "busctl call of the same bus: $(time_of busctl --address="$foh" call org.z25.Zocp1 / org.freedesktop.DBus.Peer Ping)"
    before=$(anonymous) views=60
    for ((i = 0; i < views; i++)); do
      "$zocp" exec --bus "$foh" stage -- sh -c "echo open; exec sleep infinity" >>"$dir/open" &
    done
    until [ "$(wc -l <"$dir/open")" = "$views" ]; do pause; done
    echo "memory of the bridge: $before KiB; for a view $((($(anonymous) - before) / views)) KiB more"
    exit
  fi
  call=zocp
  if [ "$TRACE" = view ]; then call=view; fi
  if [ -z "$TRACE" ]; then "$bench" services "${targets[@]}" "$@"; exit; fi
  strace -fc -o "$dir/exporter" -p "$exporter" 2>/dev/null & tracing=($!)
  strace -fc -o "$dir/importer" -p "$importer" 2>/dev/null & tracing+=($!)
  until grep -q "^TracerPid:.*[1-9]" "/proc/$importer/status"; do pause; done
  for target in "${targets[@]}"; do
    case $target in "$call|"*) "$bench" services --target "$target" --only "16 octets, µs" --batches 1 --calls 1000 >/dev/null ;; esac
  done
  kill -INT "${tracing[@]}"; wait "${tracing[@]}" || true
  for bridge in exporter importer; do
    echo "$bridge:"; awk "NR > 2 && \$4 > 100 { printf \"  %-12s %6.2f\n\", \$NF, \$4 / 1021 }" "$dir/$bridge"
  done' bash "$@"
