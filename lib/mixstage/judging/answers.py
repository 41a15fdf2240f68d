"""What a judge said: preferences counted, and the exact sign test of them."""

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Final

from scipy.stats import binomtest

from mixstage.errors import InputError
from mixstage.judging.ask import KEY, Page
from mixstage.store.plain import JsonObject
from mixstage.store.store import Store

CHOICES: Final = ("left", "right", "tie", "bad")
POWER: Final = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Answers to the questions of one application, or of all."""

    a: int  # questions where the judge prefers composition a
    b: int
    tie: int  # "equally good"
    bad: int  # "both bad"
    identical: int  # queries with the same list twice: not shown, a tie by construction
    queries: int  # of the split, those included

    @property
    def decided(self) -> int:
        return self.a + self.b

    @property
    def answered(self) -> int:
        return self.decided + self.tie + self.bad

    @property
    def p(self) -> float:
        """Of the exact two-sided sign test: both are preferred equally often. Ties and "both bad" say nothing of it
        and are left out (Dixon and Mood, "The statistical sign test", JASA 41, 1946). 1 if nothing is decided."""
        return float(binomtest(self.a, self.decided).pvalue) if self.decided else 1.0

    def share(self, confidence: float) -> tuple[float, float, float] | None:
        """a's share of the decided, and its exact interval (Clopper and Pearson, 1934); None if nothing is decided."""
        if not self.decided:
            return None
        interval = binomtest(self.a, self.decided).proportion_ci(confidence, "exact")
        return self.a / self.decided, float(interval.low), float(interval.high)

    def questions_needed(self, confidence: float) -> int | None:
        """Questions that show a preference as strong as this with 80 % power in a two-sided test at 1 - confidence.

        Decided ones: (z(1 - alpha / 2) + z(.8))^2 / (4 (share - 1/2)^2) (Noether, "Sample size determination for some
        common nonparametric tests", JASA 82, 1987); divided by the share of answers that decide. None without a
        preference.
        """
        if self.a == self.b:
            return None
        z = NormalDist().inv_cdf((1 + confidence) / 2) + NormalDist().inv_cdf(POWER)
        decided = z**2 / (4 * (self.a / self.decided - 0.5) ** 2)
        return math.ceil(decided * self.answered / self.decided)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A judge's answers with the names put back."""

    a: str
    b: str
    asked: int  # questions of the page; the answers may be of its first ones only
    tallies: dict[str, Tally]  # application -> tally; "all" first if there are several
    left: int  # decided answers that prefer the left list, whichever it was

    @property
    def total(self) -> Tally:
        return next(iter(self.tallies.values()))

    @property
    def side_p(self) -> float:
        """Exact two-sided: a judge who looks at the lists prefers each side equally often."""
        return float(binomtest(self.left, self.total.decided).pvalue) if self.total.decided else 1.0


def read_answers(store: Store, path: str | Path) -> Judged:
    """Raises InputError on a file that no page of this store saved."""
    content = _read(path)
    page = store.find(Page, content["page"])
    if page is None:
        raise InputError(
            f"{path} answers page {content['page']}, which is not in {store.uri}: give the plan that made it"
        )
    key, choices = page.read_json(KEY), content["choices"]
    if len(choices) > len(key["questions"]):
        raise InputError(f"{path} has {len(choices)} answers to {len(key['questions'])} questions: save it again")
    return count(page, key, choices)


def count(page: Page, key: JsonObject, choices: Sequence[str]) -> Judged:
    """choices: one of `CHOICES` for each of the page's first questions."""
    answered = list(zip(key["questions"], choices, strict=False))
    identical, queries = page.identical, page.queries
    tallies = {
        name: _tally([one for one in answered if one[0]["application"] == name], identical[name], queries[name])
        for name in queries
    }
    if len(tallies) > 1:
        tallies = {"all": _tally(answered, sum(identical.values()), sum(queries.values())), **tallies}
    left = sum(choice == "left" for choice in choices)
    return Judged(a=key["a"], b=key["b"], asked=len(key["questions"]), tallies=tallies, left=left)


def _tally(answered: Sequence[tuple[dict[str, str], str]], identical: int, queries: int) -> Tally:
    counts = Counter(_preferred(question["left"], choice) for question, choice in answered)
    return Tally(
        a=counts["a"], b=counts["b"], tie=counts["tie"], bad=counts["bad"], identical=identical, queries=queries
    )


def _preferred(left: str, choice: str) -> str:
    if choice in ("left", "right"):
        return left if choice == "left" else "ab".replace(left, "")
    return choice


def _read(path: str | Path) -> JsonObject:
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check the path") from error
    except ValueError as error:
        raise InputError(f"{path} is no JSON ({error}): give the file that the page saved") from error
    if not isinstance(content, dict) or not isinstance(content.get("page"), str):
        raise InputError(f"{path} names no page: give the file that the page saved")
    choices = content.get("choices")
    if not isinstance(choices, list):
        raise InputError(f"{path} has no list of choices: give the file that the page saved")
    for number, choice in enumerate(choices, 1):
        if choice not in CHOICES:
            raise InputError(f"{path}, answer {number} is {choice!r}: one of {', '.join(CHOICES)}")
    return content
