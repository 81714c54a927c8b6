#!/bin/bash
# A small adapter: the volume of this machine's sound is a value on the mesh, which a fader is wired to.
#
# Start `zocp bridge` (or `zocp demo`), then in another shell: examples/volume.sh
# From any machine of the mesh, once or by a wire:
#     zocp set HOST volume 0.5
#     zocp wire fader:level HOST:volume
# Needs pactl (Debian: pulseaudio-utils), which speaks to PulseAudio and to PipeWire.
set -eu

current=$(pactl get-sink-volume @DEFAULT_SINK@ | awk -F '[/%]' 'NR == 1 {print $2 / 100}')

# What others set is printed, a line for each.
zocp publish volume "$current" --hint flt --access rwes --min 0 --max 1 | while read -r volume; do
  percent=$(awk -v volume="$volume" 'BEGIN {printf "%d", volume * 100 + 0.5}')
  pactl set-sink-volume @DEFAULT_SINK@ "$percent%"
  echo "volume: $percent %"
done
