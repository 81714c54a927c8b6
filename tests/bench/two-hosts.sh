# Sourced by benchmarks, inside namespaces of their own: two hosts, `near` (10.9.0.1) and `far` (10.9.0.2), each with a
# session bus, and functions of these names that run a command there. $dir is a directory in memory.
# shellcheck shell=bash
dir=$(mktemp -d)
mount -t tmpfs tmpfs "$dir"
mkdir -p /run/netns
mount -t tmpfs tmpfs /run/netns
ip netns add far
ip link add near type veth peer name far netns far
ip address add 10.9.0.1/24 broadcast + dev near
ip -n far address add 10.9.0.2/24 broadcast + dev far
ip link set lo up
ip link set near up
ip -n far link set lo up
ip -n far link set far up
for side in near far; do
  dbus-daemon --session --address="unix:path=$dir/$side" --nopidfile --fork
done
near() { DBUS_SESSION_BUS_ADDRESS=unix:path=$dir/near "$@"; }
far() { DBUS_SESSION_BUS_ADDRESS=unix:path=$dir/far ip netns exec far "$@"; }
