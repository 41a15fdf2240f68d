"""What fits a user's data and this machine: lengths, stages, steps, depths, workers."""

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mixstage.onboarding.folder import Documents, Findings, Questions
from mixstage.onboarding.lengths import Lengths
from mixstage.onboarding.machine import Machine

_COVERED = 0.95  # share of the documents that are to be read whole, where the machine allows it
_LONGEST_CPU, _LONGEST_GPU = 128, 512  # tokens: a CPU's training time is what they cost
_CORE_TOKENS_S = 650  # that a core trains on in a second: measured with the demo model (22 million weights) on 2 cores
_STAGE_S = 120  # of training that a stage may take on CPUs
_GPU_STEPS = 1000  # of a stage on a GPU: some minutes with the demo model
_CPU_DEPTHS, _GPU_DEPTHS = (5, 10, 20), (20, 60, 100)
_SAMPLES = {"dev": 150, "test": 300}  # queries that a CPU evaluates
_WORKER_GB = 2.0  # of memory for a worker with its model
_LEAST_STEPS = 4
_OWN_TITLES = 0.5  # distinct titles a document above which titles may stand for queries
_GRADED = 2  # a grade from which on a stage may ask for surer judgements


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """One stage's numbers."""

    steps: int
    batch_size: int
    negatives: int = 0
    epochs: float = 0.0  # passes over the judged pairs that those steps are


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """The numbers of a plan."""

    max_length: int
    cut: float  # share of the documents that are longer
    first: Training
    hard: Training
    on_gpu: bool
    depths: tuple[int, ...]
    ranking_depth: int
    queries: dict[str, dict[str, int]]  # application -> split -> sample size, where it is smaller than the split
    train_cpus: int
    embed_workers: int
    embed_cpus: int


def propose(findings: Findings, lengths: Sequence[Lengths], machine: Machine) -> Proposal:
    """Numbers for the findings. lengths: of each corpus, in order."""
    on_gpu = machine.gpus > 0
    longest = max(one.quantile(_COVERED) for one in lengths)
    max_length = min(_LONGEST_GPU if on_gpu else _LONGEST_CPU, max(32, math.ceil(longest / 16) * 16))
    pairs = max(1, round(sum(part.splits.get("train", 0) * part.positives for part in findings.applications)))
    smallest = min(documents.count for documents in findings.corpora)
    workers = max(1, min(machine.cores // 2, int(machine.memory_gb / _WORKER_GB)))
    return Proposal(
        max_length=max_length,
        cut=max(one.above(max_length) for one in lengths),
        first=_training(pairs, 0, max_length, machine),
        hard=_training(pairs, 2, max_length, machine),
        on_gpu=on_gpu,
        depths=_depths(_GPU_DEPTHS if on_gpu else _CPU_DEPTHS, smallest),
        ranking_depth=min(100, smallest),
        queries={} if on_gpu else {part.name: _sampled(part) for part in findings.applications if _sampled(part)},
        train_cpus=machine.cores,
        embed_workers=machine.gpus if on_gpu else workers,
        embed_cpus=1 if on_gpu else max(1, machine.cores // workers),
    )


def _training(pairs: int, negatives: int, max_length: int, machine: Machine) -> Training:
    """At most one pass over the pairs, and on CPUs no more than fits into the time of a stage."""
    batch = 128 if machine.gpus else (16 if negatives else 24)
    batch = max(2, min(batch, pairs))
    whole = math.ceil(pairs / batch)
    step_s = batch * (2 + negatives) * max_length / (_CORE_TOKENS_S * machine.cores)
    most = _GPU_STEPS if machine.gpus else max(_LEAST_STEPS, round(_STAGE_S / step_s))
    steps = max(_LEAST_STEPS, min(whole, most))
    return Training(steps=steps, batch_size=batch, negatives=negatives, epochs=steps * batch / pairs)


def _depths(depths: tuple[int, ...], documents: int) -> tuple[int, ...]:
    return tuple(depth for depth in depths if depth <= documents) or (documents,)


def _sampled(part: Questions) -> dict[str, int]:
    return {split: size for split, size in _SAMPLES.items() if part.splits.get(split, 0) > size}


def is_graded(findings: Findings) -> bool:
    """Whether judgements tell good answers from the best."""
    return bool(findings.applications) and min(part.highest for part in findings.applications) >= _GRADED


def has_titles(findings: Findings) -> bool:
    """Whether titles can stand for queries: most documents have one of their own."""
    return all(documents.distinct_titles > _OWN_TITLES for documents in findings.corpora)


def trains_on_judgements(findings: Findings) -> bool:
    return any("train" in part.splits for part in findings.applications)


def missing(findings: Findings) -> list[str]:
    """What the folder lacks for a whole run, each with a way to get it."""
    notes = [] if findings.applications else [_no_queries(findings.corpora[0])]
    for part in findings.applications:
        absent = [split for split in ("dev", "test") if split not in part.splits]
        if not part.has_judgements:
            notes.append(_no_judgements(part))
        elif absent:
            notes += [_no_split(part, split) for split in absent]
        if part.has_judgements and "train" not in part.splits:
            notes.append(
                f"{part.name}: no qrels/train.tsv: its stages learn from weak sources (titles, sentences) alone, "
                "which is a start; add judgements of further queries when there are some"
            )
    return notes


def is_ready(findings: Findings) -> bool:
    """Whether `mixstage prepare` accepts the folder as it is."""
    return bool(findings.applications) and all({"dev", "test"} <= set(part.splits) for part in findings.applications)


def _no_queries(documents: Documents) -> str:
    return (
        f"{documents.name}: no queries.jsonl: write at least 50 real questions of users for dev and as many for test, "
        'a line {"_id": "q1", "text": "..."} each, and judge them (next to it, qrels/dev.tsv and test.tsv)'
    )


def _no_judgements(part: Questions) -> str:
    return (
        f"{part.name}: no judgements: stages can learn from weak sources without any, but choosing needs qrels/dev.tsv "
        "and the verdict qrels/test.tsv. Let someone who knows the texts mark the right documents of at least 50 "
        "queries each (a line query-id, corpus-id, score with tabs between them); later `mixstage judge` compares two "
        "compositions blindly, and `mixstage feedback` turns clicks into judgements"
    )


def _no_split(part: Questions, split: str) -> str:
    donor = "train" if part.splits.get("train") else next(iter(part.splits))
    return (
        f"{part.name}: no qrels/{split}.tsv. This moves every fifth query of {donor} there, with all its judgements:\n"
        f"{split_command(part.source, donor, split)}"
    )


def split_command(source: str, donor: str, split: str) -> str:
    """A shell command that moves every fifth query of a split to a new one."""
    program = (
        f'NR == 1 && $NF ~ /^score\\r?$/ {{ print > "{split}.tsv"; print > "rest.tsv"; next }} '
        "!($1 in to) { to[$1] = n++ % 5 == 0 } "
        f'{{ print > (to[$1] ? "{split}.tsv" : "rest.tsv") }}'
    )
    packed = not Path(source, "qrels", f"{donor}.tsv").exists() and Path(source, "qrels", f"{donor}.tsv.gz").exists()
    unpack = f"gunzip {donor}.tsv.gz && " if packed else ""
    return f"  cd {shlex.quote(source)}/qrels && {unpack}awk -F'\\t' '{program}' {donor}.tsv && mv rest.tsv {donor}.tsv"
