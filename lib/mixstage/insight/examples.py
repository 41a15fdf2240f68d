"""Won and lost queries to read: the query's words, and what winner and incumbent answer first."""

from typing import Any

import polars as pl

from mixstage.corpus.application import read_queries
from mixstage.corpus.documents import read_documents
from mixstage.insight.evidence import Evidence, Sources
from mixstage.insight.final_lists import final_list, top_documents
from mixstage.insight.wins import extremes

READ = 10  # queries won, and as many lost, of an application
_TOP = 3  # documents of each list
_SNIPPET = 240  # characters of a document


def examples(sources: Sources, application: str, moved: pl.DataFrame, evidence: Evidence) -> list[dict[str, Any]]:
    """The greatest wins, then the greatest losses, up to READ of each; moved: rows of `wins.win_loss`.

    {"query_id", "query", "delta", "cause", "winner", "incumbent": [{"doc_id", "title", "snippet", "grade": None if not
    judged}], best first}.
    """
    rows = extremes(moved, READ)
    asked = rows.select("query_id")
    lists = {
        side: top_documents(evidence.board, final_list(evidence.board, composition), _TOP).join(asked, on="query_id")
        for side, composition in zip(("winner", "incumbent"), sources.compared, strict=True)
    }
    wanted = {doc_id for listed in lists.values() for doc_id in listed["doc_id"]}
    texts = read_documents(sources.prepared.corpus_of(sources.plan, application), wanted)
    graded = {(q, d): grade for q, d, grade in evidence.judgements.select("query_id", "doc_id", "grade").iter_rows()}
    words = read_queries(sources.prepared.applications[application], "dev", "test")
    queries = dict(words.select("query_id", "text").iter_rows())

    def told(query: str, doc_id: str) -> dict[str, Any]:
        title, text = texts[doc_id]
        return {"doc_id": doc_id, "title": title, "snippet": _short(text), "grade": graded.get((query, doc_id))}

    def listed(side: str, query: str) -> list[dict[str, Any]]:
        answers = lists[side].filter(pl.col("query_id") == query).sort("rank")
        return [told(query, doc_id) for doc_id in answers["doc_id"]]

    return [
        {
            "query_id": query,
            "query": queries[query],
            "delta": delta,
            "cause": cause,
            **{side: listed(side, query) for side in lists},
        }
        for query, delta, cause in rows.select("query_id", "delta", "cause").iter_rows()
    ]


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _SNIPPET else f"{flat[:_SNIPPET].rstrip()}…"
