#!/bin/bash
# The lamp follows the fader: read, set and follow mirrored nodes from a shell.
#
# Start `zocp demo`, then in another shell: examples/follow.sh [COUNT]
# COUNT is how many signals to follow; without it, until Ctrl-C.
# Needs busctl (systemd) and gdbus (Debian: libglib2.0-bin).
set -eu

node=/org/z25/Zocp1/Node
values=org.z25.Zocp1.Values
lamp() { busctl --user "$1" org.z25.Zocp1.Node.lamp "$node" "$values" "${@:2}"; }

# Until the node is there: its name on the bus is its presence on the mesh.
gdbus wait --session --timeout 10 org.z25.Zocp1.Node.lamp

# Read: a property, natively typed.
echo "brightness is $(lamp get-property brightness)"

# Set: the node itself is asked, and what it cannot be is refused.
lamp set-property brightness d 2 || echo "refused"

# Follow: each emission of the fader is a signal.
#   /org/z25/Zocp1/Node: org.z25.Zocp1.Signals.level (0.25,)
coproc monitor { exec gdbus monitor --session --dest org.z25.Zocp1.Node.fader; }
trap 'kill "$monitor_PID" 2>/dev/null || true' EXIT
left=${1:--1}
while [ "$left" -ne 0 ] && read -r -u "${monitor[0]}" line; do
    [[ $line =~ Zocp1\.Signals\.level\ \(([0-9.e-]+),\) ]] || continue
    lamp set-property brightness d "${BASH_REMATCH[1]}"
    echo "brightness is now $(lamp get-property brightness)"
    left=$((left - 1))
done
