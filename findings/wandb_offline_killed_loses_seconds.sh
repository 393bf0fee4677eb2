#!/usr/bin/env bash
# wandb 0.31.0, offline: a run that is killed loses all rows of its last fifteen seconds, and of a short one everything.
# Rows go to a helper process, wandb-core, but that one keeps them in memory, writes them every 15 s, and when the training
# process dies it ends without writing: the run's file has 7 bytes, its head. A preempted or out-of-memory job is the
# case for which people log offline. A private setting, `x_transaction_log_flush_interval`, shortens it.
# Seen: killed 3 s after 20 rows: 7 bytes, no row. With the setting at 0.2: the rows are there. Finished: the rows are there.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q wandb==0.31.0 2>/dev/null
cat > "$folder/train.py" <<'PY'
import os
import sys
import time

import wandb

folder, end, flush_s = sys.argv[1:]
settings = {"silent": True, "console": "off", "x_disable_stats": True}
if float(flush_s):
    settings["x_transaction_log_flush_interval"] = float(flush_s)
run = wandb.init(dir=folder, mode="offline", project="p", settings=wandb.Settings(**settings))
for step in range(20):
    run.log({"loss": 1 / (1 + step)}, step=step, commit=True)
time.sleep(3)
if end == "killed":
    os.kill(os.getpid(), 9)
run.finish()
PY
"$folder/venv/bin/python" - "$folder" <<'PY'
import glob
import os
import subprocess
import sys
import time
from importlib.metadata import version

print("wandb", version("wandb"))


def size(name, end, flush_s):
    """Bytes of the run's file after the end of a run of 20 rows."""
    home = f"{sys.argv[1]}/{name}"
    os.mkdir(home)
    subprocess.run([sys.executable, f"{sys.argv[1]}/train.py", home, end, str(flush_s)], check=end == "finished")
    time.sleep(3)  # for wandb-core, should it still write
    (file,) = glob.glob(f"{home}/wandb/offline-run-*/run-*.wandb")
    print(f"{name}: {os.path.getsize(file)} bytes, loss is named {open(file, 'rb').read().count(b'loss')} times")
    return os.path.getsize(file)


finished, killed, quick = size("finished", "finished", 0), size("killed", "killed", 0), size("flushed", "killed", 0.2)
assert finished > 1500
assert quick > 1500
assert killed < 100, "a killed run keeps its rows now"
PY
