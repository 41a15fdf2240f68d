"""Feedback as judgements: what users said of documents, folded into a collection that the next plan trains on.

A document marked relevant gets grade 2, a clicked one 1, one marked as not relevant 0. Of one user's feedback on a
document for the same words the newest mark counts, and clicks only if there is no mark; of several users the grade that
most of them give, of equally many the lower one.

Clicks are biased: what stands first is seen and clicked more, whatever it is (Joachims et al. 2005, "Accurately
interpreting clickthrough data as implicit feedback"). Training on them teaches a retriever to find what it finds
already. `mine.min_grade: 2` makes a stage take marks only. Feedback joins the train split alone: dev and test stay what
people judged on purpose, and a query with the words of one of theirs is left out.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mixstage.corpus.application import Reading
from mixstage.corpus.hashing import words_key
from mixstage.release.trials.observed import Feedback, Impression, Kind

GRADES: Mapping[Kind, int] = {"relevant": 2, "click": 1, "not_relevant": 0}
_PREFIX = "feedback-"  # of ids of queries that no judge had

Judgements = dict[tuple[str, str], int]  # (query, document) -> grade


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinions:
    """What users said, by a query's words and a document."""

    queries: dict[str, str]  # words -> query as it was first typed
    grades: Judgements  # by words
    dropped: Counter[str]  # why -> feedback rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """A collection with what users said in its train split."""

    queries: dict[str, str]  # id -> text
    grades: dict[str, Judgements]  # split -> by id
    learnt: Judgements  # the judgements of train that come from feedback
    dropped: Counter[str]  # why -> judgements


def opinions(feedbacks: Iterable[tuple[Feedback, Impression | None]]) -> Opinions:
    """One grade for each query and document. feedbacks: oldest first, as `Observations.feedback` gives them."""
    queries: dict[str, str] = {}
    votes: dict[tuple[str, str], dict[str, Kind]] = defaultdict(dict)
    dropped: Counter[str] = Counter()
    for feedback, shown in feedbacks:
        if shown is None:
            dropped["its request is not known"] += 1
        elif feedback.document_id not in {document for document, _ in shown.documents}:
            dropped["its request did not show the document"] += 1
        else:
            words = words_key(shown.query)
            queries.setdefault(words, " ".join(shown.query.split()))
            user = feedback.user or f"request {feedback.request_id}"
            votes[words, feedback.document_id] |= _newest(votes[words, feedback.document_id], user, feedback.kind)
    grades = {pair: _majority(kinds.values()) for pair, kinds in votes.items()}
    return Opinions(queries=queries, grades=grades, dropped=dropped)


def merge(reading: Reading, users: Opinions, documents: Iterable[str]) -> Merged:
    """Puts opinions into the train split of a collection, whose own judgements stay as they are.

    users: their opinions. documents: those of the opinions that the corpus still has. Queries that an earlier export
    added are replaced.
    """
    queries = {i: text for i, text in reading.queries.items() if not i.startswith(_PREFIX)}
    grades = {split: {p: g for p, g in rows.items() if p[0] in queries} for split, rows in reading.grades.items()}
    train = grades.setdefault("train", {})
    held_out = {words_key(queries[query]) for split in ("dev", "test") for query, _ in grades.get(split, {})}
    own = {words_key(queries[query]): query for query, _ in train}
    known, learnt = set(documents), Judgements()
    dropped: Counter[str] = Counter()
    for (words, document), grade in users.grades.items():
        query = own.get(words) or _PREFIX + hashlib.sha256(words.encode()).hexdigest()[:16]
        if words in held_out:
            dropped["its query is one of dev or test"] += 1
        elif document not in known:
            dropped["the corpus has the document no longer"] += 1
        elif (query, document) in train:
            dropped["the collection judges the pair itself"] += 1
        else:
            queries.setdefault(query, users.queries[words])
            learnt[query, document] = grade
    train |= learnt
    return Merged(queries=queries, grades=grades, learnt=learnt, dropped=dropped)


def _newest(kinds: Mapping[str, Kind], user: str, kind: Kind) -> dict[str, Kind]:
    """What a user means after one more feedback: a click says less than a mark, even if it comes later."""
    earlier = kinds.get(user)
    return {user: earlier if kind == "click" and earlier is not None else kind}


def _majority(kinds: Iterable[Kind]) -> int:
    counts = Counter(GRADES[kind] for kind in kinds)
    return max(counts, key=lambda grade: (counts[grade], -grade))
