"""A trainer of one's own for the tests: a running sum that depends on seed and step alone, kept in a JSON file.

`python toy_trainer.py WIDTH` is the same as a program; what it is told to do wrong stands in its config.
"""

import json
import os
import random
import signal
import sys
import time


def train(run):
    """Train from the run's step to its end, every ten steps a checkpoint and a measurement.

    It sleeps for `config.sleep` seconds a step, or as long as the variable TOY_SLEEP_S says.
    """
    wrong, width = run.config.get("wrong", ""), run.config["width"]
    sleep_s = float(os.environ.get("TOY_SLEEP_S", run.config.get("sleep", 0.0)))
    state = json.loads((run.checkpoint_folder(run.step) / "state.json").read_text()) if run.step else 0.0
    last = run.steps // 2 if wrong == "early" else run.steps
    for step in range(run.step + 1, last + 1):
        state = 0.9 * state + random.Random(f"{run.seed} {step}").random()
        time.sleep(sleep_s)
        stumble(run, wrong, step)
        run.log(step, loss=state / width)
        stop = run.stop_requested
        if step % run.checkpoint_every == 0 or stop:
            if step % run.checkpoint_every == 0:
                run.evaluate(step, distance=10 * state / width, score=width / 100, samples=7)
            (run.checkpoint_folder(step) / "state.json").write_text(json.dumps(state))
            run.commit(step)
        if stop:
            return


def stumble(run, wrong, step):
    """Do what the config says goes wrong, once half of the steps are done."""
    if step != run.steps // 2 + 3:
        return
    if wrong == "nan":
        run.log(step, loss=float("nan"))
    elif wrong == "back":
        run.log(step - 3, loss=1.0)
    elif wrong == "text":
        run.evaluate(step, distance="low")
    elif wrong == "column":
        run.log(step, perplexity=1.0)
    elif wrong == "raise":
        raise LookupError("the seventh shard is gone")
    elif wrong == "memory":
        sys.exit("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB")
    elif wrong == "empty":
        run.commit(step)
    elif wrong.isdigit():
        sys.exit(int(wrong))
    elif wrong.startswith("SIG") and run.step == 0:
        os.kill(os.getpid(), getattr(signal, wrong))
        time.sleep(60 if wrong == "SIGKILL" else 0)


if __name__ == "__main__":
    from dit_grid.experiments import current_run

    assert float(sys.argv[1]) == current_run.config["width"]
    train(current_run)
