"""The entry of the compiler's process: it does not outlive who asked, however that one ended.

A killed plan can end nothing, so the process watches for it and takes its own folder with it.
"""

import os
import shutil
import sys
import threading
import time
from pathlib import Path

from dit_grid.orchestrator.compiling import child

LOOK_EVERY_S = 1.0


def end_with_parent(parent: int, folder: Path) -> None:
    """Remove the folder and end this process as soon as its parent is another than it was."""
    while os.getppid() == parent:
        time.sleep(LOOK_EVERY_S)
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


if __name__ == "__main__":
    request, answer = Path(sys.argv[1]), Path(sys.argv[2])
    threading.Thread(target=end_with_parent, args=(int(sys.argv[3]), request.parent), daemon=True).start()
    child.main(request, answer)
