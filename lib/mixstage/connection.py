"""The connection to Ray: the one place where it is joined or started."""

import logging
import os
from pathlib import Path
from typing import Any

import mixstage
from mixstage.cluster import join_with

# Workers load models from disk, never from a hub, and one process a core leaves tokenizers no threads to win.
WORKER_ENV = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",  # with it, each line of progress comes twice
}


_TRACKERS = ("MLFLOW_", "WANDB_")  # where experiments are kept is the user's environment to say


def connect_when_needed() -> None:
    """Prepares `connect` for the moment in which work is spread: a run that finds everything starts no Ray."""
    os.environ.update(WORKER_ENV)
    join_with(connect)


def connect() -> None:
    """Joins the cluster that RAY_ADDRESS (or a job's environment) names, else starts Ray inside this machine.

    On a cluster the workers get this very copy of the library, whatever version is installed there.
    """
    import ray
    import ray.data

    os.environ.update(WORKER_ENV)
    if ray.is_initialized():
        return
    trackers = {key: value for key, value in os.environ.items() if key.startswith(_TRACKERS)}
    on_cluster = bool(os.environ.get("RAY_ADDRESS"))
    modules = {"py_modules": [str(Path(mixstage.__file__).parent)]} if on_cluster else {}
    ray.init(runtime_env={"env_vars": {**WORKER_ENV, **trackers}, **modules}, logging_level=logging.WARNING)
    ray.data.DataContext.get_current().enable_progress_bars = False  # ours count documents and pairs
    for noisy in ("ray.data", "ray.train"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def dashboard() -> str:
    """URL of the dashboard, which has Serve's declarative API, of the Ray that `connect` found or started."""
    import ray

    context: Any = ray.init(ignore_reinit_error=True, logging_level=logging.WARNING)  # of the connection that there is
    return f"http://{context.address_info['webui_url']}"
