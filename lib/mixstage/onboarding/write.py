"""The plan's text: every number with the reason for it."""

import json
import re
from collections.abc import Iterator, Sequence

import yaml

from mixstage.onboarding.folder import Documents, Findings, Questions, field_types
from mixstage.onboarding.language import Guess
from mixstage.onboarding.lengths import Lengths
from mixstage.onboarding.machine import Machine
from mixstage.onboarding.proposal import (
    Proposal,
    Training,
    has_titles,
    is_graded,
    missing,
    trains_on_judgements,
)
from mixstage.plan.reference import SCHEMA_FILE

_UNKNOWN = 0.02  # share of unknown tokens from which on a base does not read the texts


def plan_text(
    findings: Findings,
    languages: Sequence[Guess],
    lengths: Sequence[Lengths],
    proposal: Proposal,
    machine: Machine,
    base: str,
) -> str:
    """A commented plan in YAML. languages, lengths: of each corpus, in order."""
    return "\n".join(
        [
            *_head(findings, machine),
            *_corpora(findings, languages, lengths),
            *_applications(findings, proposal),
            *_retriever(findings, languages, lengths, proposal, base),
            *_reranker(findings, proposal),
            *_grid(proposal, machine),
        ]
    )


def _head(findings: Findings, machine: Machine) -> Iterator[str]:
    yield f"# yaml-language-server: $schema={SCHEMA_FILE}"
    yield f"# Written by `mixstage init` for {machine}. All fields: `mixstage schema --markdown`."
    for note in missing(findings):
        first, *more = note.splitlines()
        yield f"# MISSING {first}"
        yield from (f"#   {line.strip()}" for line in more)
    yield f"name: {_text(findings.name)}"
    yield "store: ${MIXSTAGE_STORE:-.mixstage} # everything that a run makes; delete it and nothing else is gone"
    yield "seed: 0"


def _corpora(findings: Findings, languages: Sequence[Guess], lengths: Sequence[Lengths]) -> Iterator[str]:
    yield from ("", "corpora:")
    for documents, guess, length in zip(findings.corpora, languages, lengths, strict=True):
        yield f"  {_text(documents.name)}: # {_documents_note(documents, length)}"
        yield f"    source: {_text(documents.source)}"
        yield f"    language: {guess.language} # of BM25: {guess.reason}"
        if guess.language == "chinese":
            yield "    # language: chinese-jieba # words, not characters and pairs: pip install 'mixstage[chinese]'"
        fields = field_types(documents)
        if fields:
            declared = ", ".join(f"{_text(name)}: {kind}" for name, kind in fields.items())
            yield f"    # metadata: {{{declared}}} # further columns: declare those that searches filter by"


def _text(value: str) -> str:
    """Text as YAML reads it back: in quotes where it would be a number, a truth value or more than a word."""
    plain = re.fullmatch(r"[A-Za-z/._][\w/.:-]*", value) and not value.endswith(":")
    return value if plain and yaml.safe_load(value) == value else json.dumps(value, ensure_ascii=False)


def _documents_note(documents: Documents, length: Lengths) -> str:
    count = f"{documents.count:,} documents" if documents.is_whole else f"more than {documents.count:,} documents"
    titles = len(documents.titles - {""})
    half, most = length.quantile(0.5), length.quantile(0.95)
    return f"{count}, {titles:,} distinct titles; tokens: half have up to {half}, 95% up to {most}"


def _applications(findings: Findings, proposal: Proposal) -> Iterator[str]:
    yield from ("", "applications: # kinds of questions; each has its own judgements, metric and weight")
    for part in findings.applications or [_absent(findings.corpora[0])]:
        yield f"  {_text(part.name)}: # {_questions_note(part)}"
        yield f"    corpus: {_text(part.corpus)}"
        yield f"    source: {_text(part.source)}"
        yield "    metric: nDCG@10 # what the choice optimises"
        sizes = proposal.queries.get(part.name)
        if sizes:
            listed = ", ".join(f"{split}: {size}" for split, size in sizes.items())
            yield f"    queries: {{{listed}}} # fixed samples, to save time on CPUs; drop the line to evaluate all"


def _absent(documents: Documents) -> Questions:
    return Questions(
        name=documents.name,
        source=documents.source,
        corpus=documents.name,
        queries=0,
        texts=[],
        splits={},
        positives=0.0,
        highest=0,
    )


def _questions_note(part: Questions) -> str:
    if not part.has_judgements:
        return f"{part.queries:,} queries, no judgements yet"
    splits = ", ".join(f"{count:,} {split}" for split, count in part.splits.items())
    grades = "binary judgements" if part.highest == 1 else f"grades up to {part.highest}"
    return f"judged queries: {splits}; {part.positives:.1f} right documents a query, {grades}"


def _retriever(
    findings: Findings, languages: Sequence[Guess], lengths: Sequence[Lengths], proposal: Proposal, base: str
) -> Iterator[str]:
    yield from ("", "retriever:")
    note = "".join(f" # {note}" for note in base_notes(languages, lengths))
    yield f"  base: {_text(base)}{note}"
    cut = f"{proposal.cut:.1%} of the documents are longer and are cut there" if proposal.cut else "no document is cut"
    yield f"  max_length: {proposal.max_length} # tokens; {cut}. Time grows with it"
    yield "  stages: # each is a candidate; the grid shows which one is worth it"
    yield "    broad: # coverage"
    yield f"      samples: {_samples(findings)}"
    yield from _training(proposal.first, "5.0e-5")
    if not trains_on_judgements(findings):
        return
    yield "    refine: # what broad retrieves badly, against what it wrongly prefers"
    yield "      from: broad"
    mine = f"{{depth: {_depth(proposal, 30)}, negatives: {proposal.hard.negatives}}}"
    yield f"      mine: {mine} # hard_rank: 3 would keep the queries whose first two hits are wrong"
    yield from _training(proposal.hard, "3.0e-5")
    if is_graded(findings):
        yield "    # robust: # a third stage, on the surest judgements only"
        yield "    #   from: refine"
        yield f"    #   mine: {{min_grade: 2, depth: {_depth(proposal, 30)}, negatives: {proposal.hard.negatives}}}"
        yield f"    #   steps: {proposal.hard.steps}"


def base_notes(languages: Sequence[Guess], lengths: Sequence[Lengths]) -> list[str]:
    """What speaks against the base model for these texts."""
    unknown = max(length.unknown for length in lengths)
    if unknown > _UNKNOWN:
        return [
            f"{unknown:.0%} of the tokens are unknown to it, so it can't read these texts well: give --base a "
            "multilingual model; until then expect BM25 to carry"
        ]
    others = sorted({guess.language for guess in languages} - {"english", "none"})
    return [f"the texts are in {' and '.join(others)}: take one that was trained on it"] if others else []


def _samples(findings: Findings) -> str:
    judged, titled = trains_on_judgements(findings), has_titles(findings)
    if judged:
        mixed = "{judged: 0.7, title: 0.3} # shares; titles as queries help where they say what a text is about"
        return mixed if titled else "{judged: 1} # most documents have no title of their own that could be a query"
    weak = "{title: 0.5, cloze: 0.5}" if titled else "{cloze: 1}"
    return f"{weak} # without train judgements: {'titles, and ' if titled else ''}a sentence for the text around it"


def _training(training: Training, rate: str) -> Iterator[str]:
    yield f"      steps: {training.steps} # {training.epochs:.2g} passes over the judged pairs"
    yield f"      batch_size: {training.batch_size}"
    yield f"      learning_rate: {rate}"


def _depth(proposal: Proposal, depth: int) -> int:
    return min(depth, proposal.ranking_depth)


def _reranker(findings: Findings, proposal: Proposal) -> Iterator[str]:
    last = "refine" if trains_on_judgements(findings) else "broad"
    yield from ("", "reranker: # late interaction, from the retriever's last stage: works before it is trained")
    yield f"  base: retriever:{last}"
    yield "  architecture: late_interaction # cross_encoder reads query and document together: stronger and far slower"
    yield f"  max_length: {proposal.max_length}"
    if not trains_on_judgements(findings):
        return
    yield "  stages:"
    yield "    refine:"
    depth, negatives = _depth(proposal, 20), proposal.hard.negatives
    yield f"      mine: {{miners: [{last}], depth: {depth}, negatives: {negatives}, margin: 1.0}}"
    yield from _training(proposal.hard, "3.0e-5")


def _grid(proposal: Proposal, machine: Machine) -> Iterator[str]:
    yield from ("", "grid: # every retriever x depth x reranker x mix is measured on dev")
    yield f"  depths: [{', '.join(map(str, proposal.depths))}] # candidates that the reranker reads: time grows with it"
    yield "  mix: [0.5] # weight of the reranker beside the retriever; 0 and 1 are always there"
    if proposal.ranking_depth < 100:
        yield f"  ranking_depth: {proposal.ranking_depth} # the smallest corpus has no more"
    yield from ("", "selection:")
    yield f"  incumbent: bm25@{proposal.ranking_depth} > none@10 # what has to be beaten: here BM25 alone"
    yield "  max_regression: 0.01 # points that an application may lose for the good of the others"
    gpus = ", gpus: 1" if proposal.on_gpu else ""
    yield from ("", f"resources: # of {machine}")
    yield f"  train: {{workers: {max(1, machine.gpus)}, cpus: {1 if proposal.on_gpu else proposal.train_cpus}{gpus}}}"
    workers = f"{{workers: {proposal.embed_workers}, cpus: {proposal.embed_cpus}{gpus}}}"
    yield f"  embed: {workers}"
    yield f"  score: {workers}"
    yield ""
