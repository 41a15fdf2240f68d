"""The connection to Ray: the one place where it is joined or started."""

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import mixstage
from mixstage.cluster import is_joined, join_with
from mixstage.errors import ClusterError

# Workers load models from disk, never from a hub, and one process a core leaves tokenizers no threads to win.
WORKER_ENV = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",  # with it, each line of progress comes twice
}
_TRACKERS = ("MLFLOW_", "WANDB_")  # where experiments are kept is the user's environment to say
_LOG = logging.getLogger("mixstage")
_JOIN_SECONDS = 30  # a live head answers in two; Ray itself would give up after 40, with a traceback


def connect_when_needed() -> None:
    """Prepares `connect` for the moment in which work is spread: a run that finds everything starts no Ray."""
    os.environ.update(WORKER_ENV)
    join_with(connect)


def connect() -> None:
    """Joins the cluster that RAY_ADDRESS names, as it does in a submitted job, else starts Ray inside this machine.

    Never the cluster of the host's last-cluster file, as `ray.init()` would: it may be somebody else's, or dead. On a
    cluster the workers get this very copy of the library, whatever version is installed there. Ray logs from the level
    on at which the logger "mixstage" logs: warnings, unless a program says otherwise.
    Raises ClusterError if nothing answers at RAY_ADDRESS within 30 seconds.
    """
    import ray
    import ray.data

    os.environ.update(WORKER_ENV)
    if ray.is_initialized():
        return
    level = _LOG.getEffectiveLevel()
    trackers = {key: value for key, value in os.environ.items() if key.startswith(_TRACKERS)}
    env = {"env_vars": {**WORKER_ENV, **trackers}}
    if is_joined():
        address = os.environ["RAY_ADDRESS"]
        _refuse_silent(address)
        modules = {"py_modules": [str(Path(mixstage.__file__).parent)]}
        ray.init(address, runtime_env={**env, **modules}, logging_level=level)
    else:
        ray.init("local", runtime_env=env, logging_level=level)
    ray.data.DataContext.get_current().enable_progress_bars = False  # ours count documents and pairs
    for library in ("ray.data", "ray.train"):
        logging.getLogger(library).setLevel(level)


def _refuse_silent(address: str) -> None:
    """Asks the head for a sign of life from a process that can be ended: `ray.init` waits for a dead one for ever."""
    if "://" in address:
        return  # Ray's client, which has a limit of its own
    command = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_JOIN_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise ClusterError(
            f"no Ray cluster answers at RAY_ADDRESS={address} within {_JOIN_SECONDS} s: start its head, name another "
            "address, or `unset RAY_ADDRESS` to work on this machine"
        ) from None
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        cause = lines[-1] if lines else f"`ray health-check` ended with {done.returncode}"
        raise ClusterError(f"the Ray cluster at RAY_ADDRESS={address} can't be joined: {cause}")


def dashboard() -> str:
    """URL of the dashboard, which has Serve's declarative API, of the Ray that `connect` found or started."""
    import ray

    context: Any = ray.init(ignore_reinit_error=True, logging_level=logging.WARNING)  # of the connection that there is
    return f"http://{context.address_info['webui_url']}"
