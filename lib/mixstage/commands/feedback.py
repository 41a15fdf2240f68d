"""What users said of search results, as a collection for the next curriculum and as training pairs.

mixstage feedback sample --application counsel --out folder

The folder is in BEIR layout: the queries and judgements of the application's present source, with the feedback in its
train split; `source: folder` of the application in the next plan trains on it. pairs.jsonl holds the same feedback as
texts, {query, positive, negatives}, a line for each document that was clicked or marked relevant; its negatives are the
documents marked as not relevant for that query, which may be none.

Clicks are biased towards what stood first, and by that to what the released composition finds anyway: prefer marks
(`mine.min_grade: 2`) where there are enough. Feedback that can't be used is left out and counted.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from mixstage.commands.console.arguments import plan_parser
from mixstage.commands.console.session import aside, guarded, read_plan
from mixstage.corpus.application import read_application
from mixstage.corpus.collection import SPLITS, Collection
from mixstage.corpus.documents import document_text, read_documents
from mixstage.errors import InputError, unknown_name
from mixstage.pipeline import Pipeline
from mixstage.progress import Progress
from mixstage.release.pins import open_registry
from mixstage.release.trials.feedback import Judgements, Merged, merge, opinions
from mixstage.release.trials.observed import Observations

Texts = dict[str, tuple[str, str]]  # document -> (title, text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0, or 2 with a message on standard error."""
    options = parser().parse_args(arguments)

    def job() -> None:
        plan = read_plan(options)
        if options.application not in plan.applications:
            raise unknown_name("application", options.application, plan.applications)
        folder = Path(options.out)
        if folder.exists() and any(folder.iterdir()):
            raise InputError(f"{folder} holds files already: name a folder that is empty, or none yet")
        with aside(options.json):
            merged, texts = collect(Pipeline.of(plan), options.application)
        write(folder, merged, texts)
        _tell(options, folder, merged)

    return guarded("feedback", job, verbose=options.verbose)


def parser() -> argparse.ArgumentParser:
    options = plan_parser("feedback", __doc__)
    options.add_argument("--application", required=True, help="whose users' feedback")
    options.add_argument("--out", required=True, metavar="FOLDER", help="written; must be empty, or not exist")
    options.add_argument("--json", action="store_true", help="answer as JSON")
    return options


def collect(pipeline: Pipeline, application: str) -> tuple[Merged, Texts]:
    """The application's collection with its feedback, and the texts of documents that the feedback is on.

    Raises InputError if no feedback can be used.
    """
    plan = pipeline.plan
    corpus = pipeline.prepared.corpus_of(application)
    reading = read_application(Collection.open(plan.applications[application].source), corpus)
    said = opinions(Observations(open_registry(plan, pipeline.store).engine).feedback(application))
    texts = read_documents(corpus, {document for _, document in said.grades})
    merged = merge(reading, said, texts)
    merged.dropped.update(said.dropped)
    if not any(merged.learnt.values()):
        raise InputError(
            f"no document of {application!r} was clicked or marked relevant in a way that can be used; "
            f"left out: {_listed(merged.dropped)}"
        )
    return merged, texts


def write(folder: Path, merged: Merged, texts: Texts) -> None:
    """queries.jsonl, qrels/{train,dev,test}.tsv and pairs.jsonl."""
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    _lines(folder / "queries.jsonl", ({"_id": query, "text": text} for query, text in merged.queries.items()))
    for split in SPLITS:
        rows = [f"{query}\t{document}\t{grade}\n" for (query, document), grade in merged.grades.get(split, {}).items()]
        if rows:
            content = "query-id\tcorpus-id\tscore\n" + "".join(rows)
            (folder / "qrels" / f"{split}.tsv").write_text(content, encoding="utf-8", newline="")
    _lines(folder / "pairs.jsonl", _pairs(merged.queries, merged.learnt, texts))


def _pairs(queries: dict[str, str], learnt: Judgements, texts: Texts) -> Iterator[dict[str, object]]:
    for (query, document), grade in learnt.items():
        if grade > 0:
            refused = [d for (q, d), g in learnt.items() if q == query and g == 0]
            negatives = [document_text(*texts[d]) for d in refused]
            yield {"query": queries[query], "positive": document_text(*texts[document]), "negatives": negatives}


def _lines(path: Path, rows: Iterator[dict[str, object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _tell(options: argparse.Namespace, folder: Path, merged: Merged) -> None:
    queries = len({query for query, _ in merged.learnt})
    grades = Counter(merged.learnt.values())
    if options.json:
        content = {"folder": str(folder), "queries": queries, "grades": dict(sorted(grades.items()))}
        print(json.dumps({**content, "left_out": dict(merged.dropped)}, indent=1))
        return
    counts = f"{grades[2]} relevant, {grades[1]} clicked, {grades[0]} not relevant"
    Progress().say(f"{folder}: {len(merged.learnt)} judgements of {queries} queries by users ({counts})")
    Progress().say(f"Left out: {_listed(merged.dropped)}")


def _listed(dropped: Counter[str]) -> str:
    return ", ".join(f"{count} ({why})" for why, count in dropped.most_common()) or "nothing"
