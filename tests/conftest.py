"""For every test: programs that compile quickly, and are kept between runs of the suite."""

import os
from importlib import metadata
from pathlib import Path

# Set before anything imports JAX. Unoptimised code computes the same to the tolerances that tests state, and compiles
# in a third of the time, which is most of what these tests cost; workers of a launch get flags of their own.
os.environ.setdefault("OMP_NUM_THREADS", "1")  # the suite's workers fill the cores; threads would only fight
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
HAS_EMITTERS = tuple(map(int, metadata.version("jaxlib").split(".")[:2])) < (0, 11)  # later XLAs refuse the flag
os.environ.setdefault(
    "XLA_FLAGS", "--xla_backend_optimization_level=0" + HAS_EMITTERS * " --xla_cpu_use_fusion_emitters=false"
)
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "xla"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")
os.environ.setdefault("DIT_GRID_CACHE", str(Path(__file__).parents[1] / ".pytest_cache" / "dit-grid"))
