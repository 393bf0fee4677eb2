#!/usr/bin/env bash
# torch 2.13.0: torchrun exits with 1 however its ranks ended: with 75 ("try again", EX_TEMPFAIL), killed by SIGKILL as a
# kernel short of memory does it, with an error in the code, or because torchrun itself was sent SIGTERM by a scheduler
# that takes the machine back. What decides by exit status whether a long run is started again (a batch system's requeue
# by code, a pod's failure policy) sees one class where there are four; only the text of the summary on standard error
# tells them apart. The same program without torchrun gives 75, 137, 1 and 143.
# Seen: program alone: 75 137 1 143
#       under torchrun: 1 1 1 1
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.13.0 numpy==2.3.5 2>/dev/null
cat > "$folder/rank.py" <<'PY'
import os, signal, sys, time

how = sys.argv[1]
if how == "busy":
    sys.exit(75)
if how == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
if how == "wrong":
    raise KeyError("width")
open(sys.argv[2], "w").close()
time.sleep(60)
PY
cd "$folder"
ended() {  # the exit status of a command and how it ended; one that waits is sent SIGTERM once it does
  rm -f there
  local status=0
  "$@" there >/dev/null 2>errors &
  local pid=$!
  if [[ " $* " == *" taken "* ]]; then
    for _ in $(seq 600); do [[ -e there ]] && break; sleep 0.1; done
    kill -TERM "$pid"
  fi
  wait "$pid" || status=$?
  printf '%s ' "$status"
}
ways="busy killed wrong taken"
alone=$(for way in $ways; do ended venv/bin/python rank.py "$way"; done 2>/dev/null)
under=$(for way in $ways; do ended venv/bin/torchrun --nproc-per-node 1 rank.py "$way"; done 2>/dev/null)
venv/bin/python -c 'import torch; print("torch", torch.__version__)'
echo "program alone: $alone"
echo "under torchrun: $under"
[[ "$alone" == "75 137 1 143 " && "$under" == "1 1 1 1 " ]]
