"""Writes the first plan of a folder, and says what was found in it."""

import shlex
from collections.abc import Sequence
from pathlib import Path

import yaml

from mixstage.errors import InputError
from mixstage.onboarding.folder import Findings, look_at
from mixstage.onboarding.language import Guess, guess_language
from mixstage.onboarding.lengths import Lengths, measure_lengths
from mixstage.onboarding.machine import Machine, this_machine
from mixstage.onboarding.proposal import is_ready, missing, propose
from mixstage.onboarding.write import base_notes, plan_text
from mixstage.plan.load import parse_plan


def init(folder: str, out: Path | None, base: str, *, force: bool = False, machine: Machine | None = None) -> str:
    """Writes a plan for the folder and returns what there is to say.

    out: the plan's path; None: the folder's name in the current folder. machine: unset, this one. Raises InputError if
    the plan is there and `force` is not given, or if the folder holds no corpus or rows that can't be read.
    """
    findings = look_at(folder)
    path = out or Path(f"{findings.name}.yaml")
    if path.exists() and not force:
        raise InputError(f"{path} is there already: name another file with --out, or replace it with --force")
    lengths = [measure_lengths(documents.texts, base) for documents in findings.corpora]
    languages = [guess_language(documents.texts) for documents in findings.corpora]
    machine = machine or this_machine()
    text = plan_text(findings, languages, lengths, propose(findings, lengths, machine), machine, base)
    parse_plan(yaml.safe_load(text), str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return _summary(findings, languages, lengths, path)


def _summary(findings: Findings, languages: Sequence[Guess], lengths: Sequence[Lengths], path: Path) -> str:
    """What was found, what is missing, what comes next."""
    lines = [
        f"corpus {part.name}: {part.count:,} documents, half of them up to {length.quantile(0.5)} tokens; language "
        f"{guess.language} ({guess.reason})"
        for part, guess, length in zip(findings.corpora, languages, lengths, strict=True)
    ]
    for part in findings.applications:
        splits = ", ".join(f"{split} {count:,}" for split, count in part.splits.items()) or "none"
        lines.append(f"application {part.name}: {part.queries:,} queries, judged: {splits}")
    lines += [f"base: {note}" for note in base_notes(languages, lengths)]
    lines += [f"missing: {note}" for note in missing(findings)]
    lines.append(f"wrote {path}: read its comments, then:")
    command = shlex.join(["mixstage", "prepare", str(path)])
    lines.append(f"  {command}" if is_ready(findings) else f"  (after what is missing) {command}")
    lines.append(f"  {shlex.join(['mixstage', 'pipeline', str(path)])}")
    return "\n".join(lines)
