"""The page's words on several applications: numbers at their place, and names that are no HTML."""

import re
from dataclasses import replace

from mixstage.composition import Composition
from mixstage.report.contents import Timed
from mixstage.report.page.sharing import front_part, operating_part, sharing_part
from mixstage.selection.front import Priced
from mixstage.selection.operating import OperatingPoint
from mixstage.selection.sharing import Prices, Sharing
from mixstage.stats.paired import Difference

PRICE = Difference(mean=0.0123, low=-0.01, high=0.03, queries=9, wins=5, losses=4)
OWN = Composition.parse("bm25@20 > none@10")


def shared(name: str = "a", model: str = "bm25") -> Sharing:
    return Sharing(
        winner=OWN,
        own={name: OWN},
        retrievers=[model],
        rerankers=[],
        assignment={name: OWN},
        services={"winner": 1, "own": 3, "cover": 2},
        dev=Prices(price={name: PRICE}, loss={name: 0.004}),
        test=Prices(price={name: replace(PRICE, mean=-0.02)}, loss={name: -0.001}),
    )


def cells(html: str) -> list[list[str]]:
    return [re.findall(r"<td[^>]*>([^<]*)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", html)][1:]


def test_prices_of_both_splits_stand_in_a_row() -> None:
    page = sharing_part(shared(), 0.01)
    assert "The winner runs 1 model, each application&#x27;s own best together 3." in page
    assert "within 0.01 of its own best on dev: 2 (retrievers bm25)." in page
    own = "bm25@20 &gt; none@10"
    interval = "[-0.0100, +0.0300]"
    assert cells(page) == [["a", own, own, "+0.0123", interval, "-0.0200", interval, "0.0040", "-0.0010"]]


def row(name: str, mean: float, p95: float | None, pairs: int, *on: bool) -> Priced:
    return Priced(
        composition=Composition(retriever=name, depth=20, reranker="none"),
        mean=mean,
        p95_ms=p95,
        pairs=pairs,
        on_front=on[0],
        share=0.25,
        on_pairs_front=on[1],
        pairs_share=1.0,
    )


def test_fronts_are_told_from_the_cheapest_on() -> None:
    rows = [row("slow", 0.5, 40.25, 20, True, False), row("off", 0.1, 50.0, 20, False, False)]
    rows += [row("fast", 0.4, 3.0, 20, False, True), row("as_fast", 0.4, 3.0, 20, False, True)]
    page = front_part({"overall": rows, "a": []}, Timed(machine="a laptop", queries={"a": 6, "b": 7}))
    assert "dev queries (6 of a, 7 of b), each answered alone on a laptop" in page
    assert cells(page) == [
        ["retriever:fast@20 &gt; none@10 and 1 equal", "0.4000", "3.0", "no, 25%", "20", "yes, 100%"],
        ["retriever:slow@20 &gt; none@10", "0.5000", "40.2", "yes, 25%", "20", "no, 100%"],
        [],  # the head of the application's own table
    ]
    assert "No answer was timed" in front_part({"overall": [row("x", 0.5, None, 0, True, True)]}, None)


POINT = OperatingPoint(
    application="a",
    name="general",
    target=0.9,
    retriever="base",
    depth=12,
    recall=0.9125,
    pairs=12,
    recall_test=0.88,
    winner="robust",
    winner_depth=20,
    winner_recall=0.97,
)


def test_operating_points_say_what_the_winner_needs() -> None:
    far = replace(POINT, depth=None, pairs=None, winner_depth=None)
    assert cells(operating_part([POINT, far])) == [
        ["a", "general", "base", "0.9", "12", "0.912", "0.880", "robust needs 20"],
        ["a", "general", "base", "0.9", "out of reach", "0.912", "0.880", "robust ends at 0.970"],
    ]
    assert "left the store" in operating_part([])


def test_nothing_from_a_run_is_taken_for_html() -> None:
    evil = "<script>"
    assert evil not in sharing_part(shared(evil, evil), 0.01)
    assert evil not in front_part(
        {"overall": [row(evil, 0, 0, 0, True, True)], evil: []}, Timed(machine=evil, queries={evil: 1})
    )
    assert evil not in operating_part([replace(POINT, application=evil, retriever=evil, winner=evil)])
