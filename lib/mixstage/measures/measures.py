"""Measures as values, computed from the ranks of the judged documents alone.

A ranking is ordered by (float32 score, document id bytes), both descending, as in trec_eval. The rank of a
judged document is then one more than the number of documents with a greater key, so no list is sorted.
Values are bit-identical to pytrec_eval-terrier 0.5.11 (trec_eval 9.0.8): terms are added in rank order and
divided by `math.log2`, because on some CPUs `np.log2` differs from libm in the last bit (6 of 20,000 ranks),
and `np.sum` adds pairwise.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import InitVar, dataclass, field
from functools import lru_cache
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from mixstage.errors import InputError

ABSENT: Final = -1  # grade of an unused slot; every negative grade counts as "not judged"
UNRANKED: Final = 2**31 - 1  # stands for "not retrieved" where ranks are sorted, so that it comes last
_MAX_EXP_GRADE: Final = 52  # 2^53 - 1 is the largest integer below which float64 holds every one

Floats = NDArray[np.float64]
Grades = NDArray[np.int16]


def rank_keys(scores: NDArray[np.floating], ordinals: NDArray[np.integer]) -> NDArray[np.uint64]:
    """uint64 keys, shaped like `scores`, in the order of (float32 score, document id bytes); greatest first.

    `ordinals` (same shape, 0 <= ordinal < 2^32) is the place of each document id in the list of ids sorted by
    UTF-8 bytes. Scores are rounded to float32 as in trec_eval 9; infinities are fine, -0.0 equals 0.0. No key
    is 0 (the least, for -inf, has 0x007FFFFF in its high word): callers pad with 0. Raises InputError on NaN.
    """
    if np.isnan(scores).any():
        raise InputError("a score is NaN, which has no rank: remove the document or score it again")
    with np.errstate(over="ignore", under="ignore"):
        single = scores.astype(np.float32) + np.float32(0.0)  # the sum turns -0.0 into 0.0
    bits = single.view(np.uint32)
    ascending = np.where(bits >> 31 == 1, ~bits, bits | np.uint32(1 << 31))  # floats as ordered integers
    return (ascending.astype(np.uint64) << np.uint64(32)) | ordinals.astype(np.uint64)


def ranks_of_judged(keys: NDArray[np.uint64], judged: NDArray[np.integer]) -> NDArray[np.int32]:
    """(Q, J) int32: the rank, from 1, of each judged document in its list; 0 where it was not retrieved.

    `keys` is (Q, D), 0 for padding; `judged` is (Q, J), the column of each judged document in `keys`, or -1.
    Takes Q x D bytes beyond its inputs: it counts greater keys for one judged column at a time.
    """
    ranks = np.zeros(judged.shape, dtype=np.int32)
    if keys.shape[1] == 0:
        return ranks
    rows = np.arange(len(keys))
    for slot in range(judged.shape[1]):
        own = np.where(judged[:, slot] >= 0, keys[rows, judged[:, slot]], np.uint64(0))
        above = np.count_nonzero(keys > own[:, None], axis=1)
        ranks[:, slot] = np.where(own > 0, above + 1, 0)
    return ranks


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judged:
    """What Q rankings say about the judged documents of their queries: enough for every measure here.

    `ranks` and `grades` are (Q, J), in any order along J. The derived arrays are (J, Q): measures walk the
    short axis, one contiguous row of queries at a time.
    """

    ranks: NDArray[np.int32]  # from 1; 0 = not retrieved, also in unused slots
    grades: Grades  # 0 or more = judged; ABSENT, or any negative grade, = not judged or an unused slot
    returned: NDArray[np.int32]  # (Q,) documents in each list
    ranks_ascending: NDArray[np.int32] = field(init=False, repr=False)  # UNRANKED last
    grades_by_rank: Grades = field(init=False, repr=False)  # the grades that go with ranks_ascending
    grades_descending: Grades = field(init=False, repr=False)  # the ideal list
    ideals: dict[tuple[str, int], Floats] = field(init=False, repr=False)  # (gain, k) -> (Q,) its discounted gain
    like: InitVar["Judged | None"] = None  # other rankings with the same grades, whose ideal lists are taken over

    def __post_init__(self, like: "Judged | None") -> None:
        assert self.ranks.shape == self.grades.shape and self.returned.shape == self.ranks.shape[:1]
        rank = np.where(self.ranks > 0, self.ranks, UNRANKED).astype(np.int64)
        # Rank and grade travel in one integer: one sort in place of argsort and two gathers.
        packed = np.sort((rank << 16) | self.grades.astype(np.int16).view(np.uint16), axis=1)
        by_rank = (packed & 0xFFFF).astype(np.uint16).view(np.int16)
        object.__setattr__(self, "ranks_ascending", np.ascontiguousarray((packed >> 16).T, dtype=np.int32))
        object.__setattr__(self, "grades_by_rank", np.ascontiguousarray(by_rank.T))
        ideal = like.grades_descending if like else np.ascontiguousarray(np.sort(self.grades)[:, ::-1].T)
        object.__setattr__(self, "grades_descending", ideal)
        object.__setattr__(self, "ideals", like.ideals if like else {})


@dataclass(frozen=True, slots=True, repr=False)
class Measure:
    """One measure, such as `nDCG@10`. Hashable; its `repr` is a name that `parse_measure` reads back."""

    family: str
    k: int | None = None  # cutoff in documents, from 1; None = the whole list

    def __repr__(self) -> str:
        return self.family if self.k is None else f"{self.family}@{self.k}"

    def values(self, judged: Judged, rel_level: int = 1) -> Floats:
        """(Q,) float64; a document is relevant when its grade is `rel_level` or more.

        nDCG and nDCGexp use the grades themselves and ignore `rel_level`, as in trec_eval. A query without a
        relevant document scores 0. Raises InputError on a `rel_level` below 1 and, in nDCGexp, on a grade
        above 52.
        """
        if rel_level < 1:
            raise InputError(f"rel_level is {rel_level}, but grade 0 means not relevant: use 1 or more")
        return _FAMILIES[self.family].compute(judged, self.k or UNRANKED - 1, rel_level)


def _linear_gain(grades: Grades) -> Floats:
    return np.maximum(grades, 0).astype(np.float64)


def _exponential_gain(grades: Grades) -> Floats:
    """2^grade - 1 (Burges et al. 2005); exact, because ldexp only sets the exponent."""
    return np.ldexp(1.0, np.maximum(grades, 0).astype(np.int32)) - 1.0


@lru_cache(maxsize=32)
def _discounts(size: int) -> Floats:
    """(size + 1,): log2(rank + 1) at each rank from 1 (Jarvelin and Kekalainen 2002); 1 at the unused 0."""
    return np.array([1.0] + [math.log2(rank + 1) for rank in range(1, size + 1)])


def _dcg(ranks: NDArray[np.integer], gains: Floats) -> Floats:
    """(Q,) discounted gain of (S, Q) ranks and gains, added along the first axis; rank 0 gains nothing."""
    highest = int(ranks.max(initial=1))
    discounts = _discounts(1 << (highest - 1).bit_length())  # a power of 2: few tables serve all lists
    total = np.zeros(ranks.shape[1])
    for rank, gain in zip(ranks, gains, strict=True):
        total += np.where(rank > 0, gain, 0.0) / discounts[rank]
    return total


def _ndcg(judged: Judged, k: int, gain: Callable[[Grades], Floats]) -> Floats:
    """DCG@k / ideal DCG@k; the ideal list holds every judged document, retrieved or not."""
    ranks, key = judged.ranks_ascending[:k], (gain.__name__, k)
    if key not in judged.ideals:
        ideal = judged.grades_descending[:k]
        ideal_ranks = np.broadcast_to(np.arange(1, len(ideal) + 1)[:, None], ideal.shape)
        judged.ideals[key] = _dcg(ideal_ranks, gain(ideal))
    gained = _dcg(np.where(ranks <= k, ranks, 0), gain(judged.grades_by_rank[:k]))
    return _ratio(gained, judged.ideals[key])


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    """0 where the denominator is 0: a query without a relevant document counts as 0."""
    return np.divide(numerator, denominator, out=np.zeros(len(numerator)), where=denominator > 0)


def _count(mask: NDArray[np.bool_]) -> Floats:
    """(Q,) number of true cells of a (J, Q) mask."""
    return np.asarray(np.count_nonzero(mask, axis=0), dtype=np.float64)


def _linear_ndcg(judged: Judged, k: int, level: int) -> Floats:
    return _ndcg(judged, k, _linear_gain)


def _exponential_ndcg(judged: Judged, k: int, level: int) -> Floats:
    top = judged.grades.max(initial=0)
    if top > _MAX_EXP_GRADE:
        raise InputError(f"grade {top} is too large for the gain 2^grade - 1 of nDCGexp: use nDCG instead")
    return _ndcg(judged, k, _exponential_gain)


def _relevant(judged: Judged, level: int) -> Floats:
    """(Q,) documents with this grade or a higher one, retrieved or not."""
    return _count(judged.grades_descending >= level)


def _found(judged: Judged, k: int, level: int) -> Floats:
    """(Q,) documents with this grade or a higher one in the top k."""
    return _count((judged.ranks_ascending[:k] <= k) & (judged.grades_by_rank[:k] >= level))


def _reciprocal_rank(judged: Judged, k: int, level: int) -> Floats:
    hits = np.where(judged.grades_by_rank[:k] >= level, judged.ranks_ascending[:k], UNRANKED)
    first = hits.min(axis=0, initial=UNRANKED)
    return np.where(first <= k, 1.0 / first, 0.0)


def _average_precision(judged: Judged, k: int, level: int) -> Floats:
    """Sum of (relevant so far / rank) over the relevant in the top k, divided by ALL relevant documents."""
    total, so_far = np.zeros(len(judged.returned)), np.zeros(len(judged.returned))
    for ranks, grades in zip(judged.ranks_ascending[:k], judged.grades_by_rank[:k], strict=True):
        hit = (grades >= level) & (ranks <= k)
        so_far += hit
        total += np.where(hit, so_far / ranks, 0.0)
    return _ratio(total, _relevant(judged, level))


def _precision(judged: Judged, k: int, level: int) -> Floats:
    return _found(judged, k, level) / k  # k even when fewer documents were returned


def _recall(judged: Judged, k: int, level: int) -> Floats:
    return _ratio(_found(judged, k, level), _relevant(judged, level))


def _success(judged: Judged, k: int, level: int) -> Floats:
    return (_found(judged, k, level) > 0).astype(np.float64)


def _r_precision(judged: Judged, k: int, level: int) -> Floats:
    """Precision at R, the number of relevant documents of each query."""
    relevant = _relevant(judged, level)
    hit = (judged.ranks_ascending <= relevant) & (judged.grades_by_rank >= level)
    return _ratio(_count(hit), relevant)


def _bpref(judged: Judged, k: int, level: int) -> Floats:
    """Mean over the relevant of 1 - min(nonrelevant above, R) / min(N, R) (Buckley and Voorhees 2004).

    N counts documents judged below `level`, R the relevant; documents without a judgement are skipped.
    """
    relevant = _relevant(judged, level)
    nonrelevant = _relevant(judged, 0) - relevant
    bound = np.maximum(np.minimum(nonrelevant, relevant), 1.0)  # where it would be 0, `above` stays 0
    total, above = np.zeros(len(relevant)), np.zeros(len(relevant))
    for ranks, grades in zip(judged.ranks_ascending, judged.grades_by_rank, strict=True):
        hit = (ranks <= k) & (grades >= level)
        total += np.where(hit, 1.0 - np.minimum(above, relevant) / bound, 0.0)
        above += (ranks <= k) & (grades >= 0) & (grades < level)
    return _ratio(total, relevant)


def _judged_share(judged: Judged, k: int, level: int) -> Floats:
    """Judged documents in the top k / min(k, returned), as in ir_measures; 0 for an empty list."""
    return _ratio(_found(judged, k, 0), np.minimum(judged.returned, k).astype(np.float64))


@dataclass(frozen=True, slots=True)
class _Family:
    cutoff: Literal["required", "optional", "none"]
    compute: Callable[[Judged, int, int], Floats]  # (judged, k, rel_level) -> (Q,)


_FAMILIES: Final[Mapping[str, _Family]] = {
    "nDCG": _Family("required", _linear_ndcg),
    "nDCGexp": _Family("required", _exponential_ndcg),
    "RR": _Family("optional", _reciprocal_rank),
    "AP": _Family("optional", _average_precision),
    "P": _Family("required", _precision),
    "R": _Family("required", _recall),
    "Success": _Family("required", _success),
    "Rprec": _Family("none", _r_precision),
    "Bpref": _Family("none", _bpref),
    "Judged": _Family("required", _judged_share),
}
_ALIASES: Final = {"MRR": "RR", "MAP": "AP", "Recall": "R", "nDCG(dcg='exp-log2')": "nDCGexp"}
_ACCEPTED: Final = (
    "nDCG@k, nDCGexp@k, RR or RR@k (MRR), AP or AP@k (MAP), P@k, R@k (Recall), Success@k, Rprec, Bpref, Judged@k"
)


def parse_measure(text: str) -> Measure:
    """The measure of a name in the syntax of ir_measures; aliases come back under one name (MRR@10 as RR@10).

    Raises InputError on an unknown name, a missing or superfluous cutoff, and a cutoff that is not 1 or more.
    """
    name, at, cutoff = text.strip().replace('"', "'").partition("@")
    family = _ALIASES.get(name, name)
    if family not in _FAMILIES:
        raise InputError(f"unknown measure {text!r}: use one of {_ACCEPTED}")
    rule = _FAMILIES[family].cutoff
    if not at and rule == "required":
        raise InputError(f"measure {text!r} has no cutoff: write {name}@10, for example")
    if at and rule == "none":
        raise InputError(f"measure {text!r} takes no cutoff: write {name}")
    if at and not re.fullmatch("[1-9][0-9]{0,8}", cutoff):
        raise InputError(f"measure {text!r} has cutoff {cutoff!r}: use a whole number from 1 to 999999999")
    return Measure(family, int(cutoff) if at else None)
