#!/bin/bash
# A remote control: whether a player of this machine plays is a value on the mesh, which a button is wired to.
#
# Start `zocp bridge` (or `zocp demo`), then in another shell: examples/remote.sh [PLAYER]
# From any machine of the mesh, once or by a wire:
#     zocp set HOST playing true
#     zocp wire desk:button HOST:playing
# Needs playerctl (Debian: playerctl). A player of another machine needs no script: see docs/how-to/players.md.
set -eu

player=${1:-%any}

playing=false
[ "$(playerctl -p "$player" status)" != Playing ] || playing=true

# What others set is printed, a line for each.
zocp publish playing "$playing" --access rwes | while read -r playing; do
  case $playing in
    true) playerctl -p "$player" play ;;
    *) playerctl -p "$player" pause ;;
  esac
  echo "playing: $playing"
done
