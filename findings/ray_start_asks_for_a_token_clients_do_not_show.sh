#!/usr/bin/env bash
# Ray 2.60.0: any local `ray.init()` leaves ~/.ray/auth_token, and from then on `ray start --head` turns token
# authentication on for its cluster, while `ray status` and `ray.init(address=...)` of the same user in the same shell
# leave it off and are turned away, though the token lies where they would look. With RAY_AUTH_MODE=token both join. On a
# fresh account the same commands work: what changed is that somebody ran a Ray program here before.
# Seen: before any local Ray: status joins
#       after a local ray.init(): status is refused: InvalidAuthToken; with RAY_AUTH_MODE=token it joins
set -euo pipefail
folder=$(mktemp -d)
trap 'for id in $(pgrep -f "$folder" | grep -vx $$); do kill "$id" 2>/dev/null || true; done; sleep 2; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "ray[default]==2.60.0" 2>/dev/null
export HOME="$folder/home" RAY_USAGE_STATS_ENABLED=0
mkdir "$HOME"
for name in $(env | grep -o '^RAY_A[A-Z_]*' || true); do unset "$name"; done
ray="$folder/venv/bin/ray"

head_on() { "$ray" start --head --port "$1" --num-cpus 1 --include-dashboard false --temp-dir "$folder/r$1" >/dev/null 2>&1; }
joins() {
  if timeout 60 "$ray" status --address "127.0.0.1:$1" >"$folder/said" 2>&1; then echo joins
  elif grep -q InvalidAuthToken "$folder/said"; then echo refused
  else echo "something else: $(tail -1 "$folder/said")"; fi
}

head_on 6391
before=$(joins 6391)
for id in $(pgrep -f "$folder/r6391"); do kill "$id" 2>/dev/null || true; done
sleep 3
"$folder/venv/bin/python" -c "
import ray
ray.init(address='local', num_cpus=1, include_dashboard=False, log_to_driver=False, _temp_dir='$folder/l')
ray.shutdown()" >/dev/null 2>&1
ls "$HOME/.ray/auth_token" >/dev/null
head_on 6392
after=$(joins 6392)
with_mode=$(RAY_AUTH_MODE=token joins 6392)
echo "before any local Ray: $before; after one: $after; with RAY_AUTH_MODE=token: $with_mode"
[ "$before" = joins ] && [ "$after" = refused ] && [ "$with_mode" = joins ]
