#!/bin/bash
# Cues on another desktop: each value that an emitter of the mesh emits is a notification on another machine.
#
# On the machine with the desktop: zocp export org.freedesktop.Notifications
# Here, beside `zocp bridge`:      examples/cue.sh NODE EMITTER MACHINE [COUNT]
# COUNT is how many cues to show; without it, until Ctrl-C.
# Needs notify-send (Debian: libnotify-bin) and jq.
set -eu

node=$1 emitter=$2 machine=$3

# Each line of JSON is one value.
zocp watch "$node" "$emitter" ${4:+-n "$4"} --json | jq --unbuffered -r .value | while read -r cue; do
  zocp exec "$machine" -- notify-send --urgency=critical "Cue" "$cue"
  echo "cue: $cue"
done
