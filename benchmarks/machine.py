"""What every benchmark says of itself: which command, when, which commit, which machine; and a process's memory."""

import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

_ROOT = Path(__file__).parents[1]


def heading(title: str) -> str:
    """Title, command, date, commit (with a plus if files differ from it), processor, load."""
    commit = _git("rev-parse", "--short", "HEAD") + "+" * bool(_git("status", "--porcelain", "--untracked-files=no"))
    load = os.getloadavg()[0]
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    command = shlex.join(["python", "-m", f"benchmarks.{Path(sys.argv[0]).stem}", *sys.argv[1:]])
    machine = f"{os.cpu_count()} cores {_processor()}, load {load:.1f} at its start"
    return f"**{title}** (`{command}`, {now}, commit {commit}, {machine})"


def table(*rows: Sequence[str]) -> str:
    """Markdown; the first row is the head."""
    head, *body = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([head, "|" + "---|" * len(rows[0]), *body])


def spread(values: Sequence[float], digits: int = 2) -> str:
    """The median, and in brackets the least and the greatest."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    median = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    return f"{median:,.{digits}f} [{ordered[0]:,.{digits}f}, {ordered[-1]:,.{digits}f}]"


def peak_bytes() -> int:
    """Most memory of this process since it began its program: unlike `ru_maxrss` without what its parent held."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=_ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or ("?" if done.returncode else "")  # a copy of the tree without its history


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    names = [line for line in path.read_text().splitlines() if line.startswith("model name")] if path.exists() else []
    return names[0].partition(":")[2].strip() if names else platform.processor()
