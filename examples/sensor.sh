#!/bin/bash
# A sensor of this machine on the mesh: the load, each second, from a shell.
#
# Start `zocp bridge` (or `zocp demo`), then in another shell: examples/sensor.sh [COUNT]
# COUNT is how often to measure; without it, until Ctrl-C.
# Watch it from any other machine: zocp watch HOST load
set -eu

left=${1:--1}

# Each line that is written here is a value on the mesh; what peers set is printed.
while [ "$left" != 0 ]; do
  read -r load _ </proc/loadavg
  echo "$load"
  left=$((left - 1))
  sleep 1
done | zocp publish load - --hint flt --access re --min 0
