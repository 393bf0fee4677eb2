#!/usr/bin/env bash
# tensorboardX 2.6.5: a second `SummaryWriter` for a folder within the same second erases what the first wrote. The file's
# name is the second and the host, and it is opened to be written anew; torch's and TensorFlow's writers have a process
# id and a counter in it. A job that is resumed at once, or two processes that log to one folder, lose rows without a word.
# Seen: first writer, closed: steps 0 to 4. Second writer: steps 5 to 9. The folder holds: 5 6 7 8 9, in one file.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q tensorboardX==2.6.5 tensorboard==2.21.0 setuptools==80.9.0 2>/dev/null
"$folder/venv/bin/python" - "$folder/logs" <<'PY'
import os
import sys
import time
from importlib.metadata import version

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboardX import SummaryWriter

print("tensorboardX", version("tensorboardX"), "tensorboard", version("tensorboard"))


def two_writers(logdir, pause_s):
    """The steps in a folder to which one writer after the other wrote five, begun in one second or not."""
    time.sleep(1 - time.time() % 1)
    for first in (0, 5):
        writer = SummaryWriter(logdir)
        for step in range(first, first + 5):
            writer.add_scalar("loss", 1.0, step)
        writer.close()
        time.sleep(pause_s)
    return [event.step for event in EventAccumulator(logdir).Reload().Scalars("loss")], len(os.listdir(logdir))


apart, files = two_writers(sys.argv[1] + "/apart", 1.1)
print(f"begun in two seconds: steps {apart} in {files} files")
together, files = two_writers(sys.argv[1] + "/together", 0.0)
print(f"begun in one second: steps {together} in {files} file")
assert apart == list(range(10))
assert together == [5, 6, 7, 8, 9], "the first writer's rows are kept now"
PY
