#!/usr/bin/env bash
# page.sh [nodes [changes a second]]: `zocp web` in a browser, beside many nodes on another host whose values change (200
# nodes and 1,000 changes a second unless told otherwise). The time from a change to the frame that shows it, frames a
# second, and what the bridge and the server of the page take of a processor, with one tab and with seven.
# ZOCP names the binary (by default the release build). Needs root, chromium, chromium-driver, python3-selenium.
set -euo pipefail
cd "$(dirname "$0")/../.."
export zocp=${ZOCP:-$PWD/target/release/zocp}
export nodes=${1:-200} rate=${2:-1000} page=$PWD/tests/web/page.py
[ -x "$zocp" ] || cargo build --release --quiet
target=${CARGO_TARGET_DIR:-$PWD/tests/bench/target}
cargo build --release --quiet --manifest-path tests/bench/Cargo.toml --target-dir "$target"
export bench=$target/release/zocp-bench hosts=$PWD/tests/bench/two-hosts.sh
# shellcheck disable=SC2016 # expanded inside
exec unshare --net --mount bash -euc '
  . "$hosts"
  trap "kill \$(jobs -p) 2>/dev/null" EXIT
  pause() { read -rt 0.05 <> <(:) || true; }
  near "$zocp" bridge --name near --bus "unix:path=$dir/near" --state "" 2>"$dir/bridge.log" & bridge=$!
  near gdbus wait --session org.z25.Zocp1
  near "$zocp" web --listen 127.0.0.1:8070 >"$dir/web" 2>"$dir/web.log" & web=$!
  until grep -q http "$dir/web"; do pause; done
  port=$(grep -o "mesh port [0-9]*" "$dir/bridge.log" | grep -o "[0-9]*$" | head -1)
  far "$bench" show "tcp://10.9.0.1:$port" --nodes "$nodes" --rate "$rate" >"$dir/show" &
  until grep -q ready "$dir/show"; do pause; done
  ls -l "$zocp" | awk "{ print \"program: \" \$5 / 1e6 \" MB\" }"
  # The functions of the hosts run what they start in a shell of its own.
  bridge=$(pgrep -P "$bridge") web=$(pgrep -P "$web")
  /usr/bin/python3 "$page" figures "$(grep -o "http[^ ]*" "$dir/web" | head -1)" bridge=$bridge web=$web nodes="$nodes"'
