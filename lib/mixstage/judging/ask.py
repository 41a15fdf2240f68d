"""A page that shows two compositions' lists, unnamed and on sides drawn at random, and asks which is better.

The page holds no name and no hint of the sides; those lie in key.json beside it, under the same artifact's digest,
which the page's answers repeat.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from mixstage.composition import Composition
from mixstage.corpus.application import read_queries
from mixstage.corpus.documents import read_documents
from mixstage.errors import InputError
from mixstage.evaluation.board import final_list, top_documents
from mixstage.evaluation.grid import Grid
from mixstage.evaluation.stored_boards import StoredBoards
from mixstage.store.plain import Json
from mixstage.store.store import Artifact, Store, digest_of

PAGE: Final = "index.html"
KEY: Final = "key.json"
_TEXT: Final = 4000  # characters of a document that the page holds

Document = tuple[str, str]  # title, text: what a judge can tell apart


class Page(Artifact):
    """Two compositions' lists, unnamed and side by side: PAGE, and KEY, which says who stands where."""

    kind = "judge"
    FORMAT = 2  # raise when page or key change
    __slots__ = ()

    @property
    def queries(self) -> dict[str, int]:
        """Application -> queries of the split."""
        return dict(self.meta["queries"])

    @property
    def identical(self) -> dict[str, int]:
        """Application -> queries for which both lists are the same; they are not shown."""
        return dict(self.meta["identical"])

    @property
    def shown(self) -> dict[str, int]:
        """Application -> queries on the page."""
        return dict(self.meta["shown"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Which lists are compared, on how many queries."""

    a: Composition
    b: Composition
    applications: tuple[str, ...]
    split: str
    queries: int  # shown at most, over all applications
    k: int  # documents of a list

    def __post_init__(self) -> None:
        if self.a == self.b:
            raise InputError(f"{self.a} against itself: give two compositions with --a and --b")
        if self.queries < 1:
            raise InputError(f"--queries {self.queries}: ask for 1 or more")
        if not 1 <= self.k <= min(self.a.k, self.b.k):
            raise InputError(f"--k {self.k}: {min(self.a.k, self.b.k)} hits are answered; show 1 to as many")


class Pair(NamedTuple):
    """What the two compositions answer to one query."""

    query_id: str
    text: str
    a: list[Document]
    b: list[Document]


def ask(store: Store, grid: Grid, boards: StoredBoards, request: Request) -> Page:
    """The artifact with the page and its key. meta: queries, identical and shown: application -> count.

    Queries are drawn from those whose lists differ, as evenly over the applications as they last; each side shows
    either composition equally often in every application. The draw follows from the artifact's digest, so from the
    plan's seed. Raises InputError if no list differs.
    """
    recipe = {
        "what": "judge",
        "format": Page.FORMAT,
        "grid": grid.digest,
        "a": str(request.a),
        "b": str(request.b),
        "applications": request.applications,
        "split": request.split,
        "queries": request.queries,
        "k": request.k,
        "seed": boards.plan.seed,
    }
    digest = digest_of(recipe)
    page = store.find(Page, digest)
    if page is not None:
        return page
    pairs = {name: _pairs(boards, name, request) for name in request.applications}
    differing = {name: [pair for pair in asked if pair.a != pair.b] for name, asked in pairs.items()}
    if not any(differing.values()):
        raise InputError(f"the first {request.k} of both compositions are the same for every query: nothing to judge")
    generator = np.random.default_rng(int(digest, 16))
    drawn = draw({name: len(some) for name, some in differing.items()}, request.queries, generator)
    sides = draw_sides([name for name, _ in drawn], generator)
    shown = [(name, differing[name][number]) for name, number in drawn]
    draft = store.draft(Page, recipe)
    draft.text(PAGE, _page(digest, shown, sides))
    draft.text(KEY, json.dumps(_key(request, shown, sides), indent=1, ensure_ascii=False))
    names = [name for name, _ in shown]
    counts = {
        "queries": {name: len(asked) for name, asked in pairs.items()},
        "identical": {name: len(asked) - len(differing[name]) for name, asked in pairs.items()},
        "shown": {name: names.count(name) for name in pairs},
    }
    return draft.publish(counts)


def draw(sizes: Mapping[str, int], count: int, generator: np.random.Generator) -> list[tuple[str, int]]:
    """(application, number below its size): at most `count`, one of each application in turn, then shuffled."""
    orders = {name: generator.permutation(size).tolist() for name, size in sizes.items()}
    rounds = range(max(sizes.values(), default=0))
    turns = [(name, order[turn]) for turn in rounds for name, order in orders.items() if turn < len(order)]
    taken = turns[:count]
    return [taken[place] for place in generator.permutation(len(taken))]


def draw_sides(applications: Sequence[str], generator: np.random.Generator) -> list[str]:
    """Which composition, a or b, stands left at each question: each equally often (or once more) in an application."""
    sides = [""] * len(applications)
    for name in dict.fromkeys(applications):
        places = [place for place, other in enumerate(applications) if other == name]
        first = generator.integers(2)  # who stands left once more where their number is odd
        for place, turn in zip(places, generator.permutation(len(places)), strict=True):
            sides[place] = "ab"[(first + turn) % 2]
    return sides


def _pairs(boards: StoredBoards, application: str, request: Request) -> list[Pair]:
    board = boards.get(application, request.split).board
    tops = {
        side: _lists(top_documents(board, final_list(board, composition), request.k))
        for side, composition in (("a", request.a), ("b", request.b))
    }
    ids = {doc_id for lists in tops.values() for listed in lists.values() for doc_id in listed}
    texts = read_documents(boards.prepared.corpus_of(application), ids)
    asked = read_queries(boards.prepared.applications[application], request.split)
    words = dict(asked.select("query_id", "text").iter_rows())
    return [
        Pair(query, words[query], *([texts[doc_id] for doc_id in tops[side].get(query, [])] for side in "ab"))
        for query in board.query_ids
    ]


def _lists(top: pl.DataFrame) -> dict[str, list[str]]:
    grouped = top.sort("query_id", "rank").group_by("query_id", maintain_order=True).agg("doc_id")
    return dict(grouped.iter_rows())


def _page(digest: str, shown: Sequence[tuple[str, Pair]], sides: Sequence[str]) -> str:
    numbers: dict[Document, int] = {}
    questions = []
    for (application, pair), side in zip(shown, sides, strict=True):
        left, right = (pair.a, pair.b) if side == "a" else (pair.b, pair.a)
        listed = [[numbers.setdefault(document, len(numbers)) for document in some] for some in (left, right)]
        questions.append({"application": application, "query": pair.text, "left": listed[0], "right": listed[1]})
    documents = [{"title": title, "text": _cut(text)} for title, text in numbers]
    content = {"page": digest, "questions": questions, "documents": documents}
    safe = json.dumps(content, ensure_ascii=False).replace("<", "\\u003c")  # no text can close the script
    template = files("mixstage.judging").joinpath("page.html").read_text(encoding="utf-8")
    return template.replace("__DATA__", safe)


def _cut(text: str) -> str:
    return text if len(text) <= _TEXT else text[:_TEXT] + " ..."


def _key(request: Request, shown: Sequence[tuple[str, Pair]], sides: Sequence[str]) -> dict[str, Json]:
    return {
        "a": str(request.a),
        "b": str(request.b),
        "questions": [
            {"application": application, "query_id": pair.query_id, "left": side}
            for (application, pair), side in zip(shown, sides, strict=True)
        ],
    }
