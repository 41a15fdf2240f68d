"""What this machine has to work with."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")  # limits of a container
_ANSWER_S = 10  # in which nvidia-smi has to answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Cores, memory and GPUs of one machine."""

    cores: int
    memory_gb: float
    gpus: int

    def __str__(self) -> str:
        gpus = f"{self.gpus} GPU{'s' * (self.gpus > 1)}" if self.gpus else "no GPU"
        return f"{self.cores} core{'s' * (self.cores > 1)}, {self.memory_gb:.0f} GB of memory and {gpus}"


def this_machine() -> Machine:
    """What this process may use: a container's limits count."""
    return Machine(cores=_cores(), memory_gb=_memory() / 1e9, gpus=_gpus())


def _cores() -> int:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, _, period = _limit("cpu.max").partition(" ")
    return max(1, min(usable, int(quota) // int(period))) if quota.isdigit() and period.isdigit() else usable


def _memory() -> int:
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _limit("memory.max")
    return min(there, int(limit)) if limit.isdigit() else there


def _limit(name: str) -> str:
    try:
        return (_CGROUP / name).read_text().strip()
    except OSError:
        return ""


def _gpus() -> int:
    """GPUs that nvidia-smi lists; PyTorch would take seconds to say the same."""
    if shutil.which("nvidia-smi") is None:
        return 0
    try:
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=_ANSWER_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return sum(line.startswith("GPU ") for line in done.stdout.splitlines()) if done.returncode == 0 else 0
