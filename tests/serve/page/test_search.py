"""Searching in a real Chromium: hits and what made them, marked words, filters, stale answers."""

import threading

import pytest

from tests.serve.page.service import DOCUMENTS, LIVE, Service
from tests.serve.page.window import DEPOSIT, Open, assert_says, expect, hits, search


def test_a_search_shows_its_hits_and_what_made_them(visit: Open, service: Service) -> None:
    page = visit()
    expect(page.get_by_label("Query")).to_be_focused()
    expect(page.locator("#standing")).to_contain_text(f"Live: {LIVE}, release 12.")
    search(page, "deposit")
    assert_says(page, "4 hits.")
    asked = service.searches[0]
    assert {**asked, "user": ""} == {"application": "counsel", "query": "deposit", "k": 10, "explain": True, "user": ""}
    assert hits(page).locator(".title").all_inner_texts()[:3] == ["Return of the deposit", "Deposits kept", "Notice"]
    first, fourth = hits(page).nth(0), hits(page).nth(3)
    assert first.locator(".text").inner_text() == DOCUMENTS["d1"][1]
    assert first.locator(".score").inner_text().split() == ["score", "4.250"]
    # the fourth of the retriever, score 1/4, is the reranker's first, score 4.25
    assert " ".join(first.locator(".ranks").inner_text().split()) == "retrieved 4 (0.250) → reranked 1 (4.250) ▲ up 3"
    assert " ".join(fourth.locator(".ranks").inner_text().split()) == "retrieved 1 (1) → reranked 4 (1.250) ▼ down 3"
    made = page.locator(".made").first.inner_text()
    for part in (
        "live",
        LIVE,
        "84 ms: retrieval 20 ms, reranking 60 ms",
        "release 12",
        "generation 3f2a91bc0d12",
        "request q1",
    ):
        assert part in made


def test_the_same_reader_keeps_their_name(visit: Open, service: Service) -> None:
    page = visit(DEPOSIT)
    assert_says(page, "4 hits.")
    page.reload()
    assert_says(page, "4 hits.")
    names = [asked["user"] for asked in service.searches]
    assert len(names) == 2 and names[0] == names[1] != ""


@pytest.mark.parametrize(
    ("query", "marked"),
    [
        ("When may my landlord keep the deposits?", ["deposit", "landlord", "deposit", "Deposits"]),
        ("c++ [a-z]* (brackets", ["brackets"]),
        ("ubertragung", ["Übertragung"]),
        ("<b>markup</b>", ["markup"]),
        (".*", []),
    ],
)
def test_words_of_the_query_are_marked(visit: Open, service: Service, query: str, marked: list[str]) -> None:
    service.lists[LIVE] = ["d1", "d2", "d4", "d5"]
    page = visit()
    search(page, query)
    assert_says(page, "4 hits.")
    assert hits(page).locator("mark").all_inner_texts() == marked


def test_words_are_found_in_chinese(visit: Open, service: Service) -> None:
    service.documents["d1"] = ("押金", "房东应当返还押金。")
    service.lists[LIVE] = ["d1"]
    page = visit()
    search(page, "房东不退押金怎么办")
    assert_says(page, "1 hit.")
    assert hits(page).locator("mark").all_inner_texts() == ["押金", "房东", "押金"]


def test_markup_stays_text(visit: Open) -> None:
    page = visit()
    search(page, "<img src=x onerror=document.title='evil'>")
    assert_says(page, "4 hits.")
    title, text = DOCUMENTS["d4"]
    fourth = hits(page).nth(3)
    assert (fourth.locator(".title").inner_text(), fourth.locator(".text").inner_text()) == (title, text)
    assert page.locator("main img, main b:text('markup')").count() == 0 and page.title() != "evil"


def test_a_stale_answer_does_not_overwrite_a_newer_one(visit: Open, service: Service) -> None:
    service.held["slow"] = threading.Event()
    page = visit()
    search(page, "slow")
    assert_says(page, "Searching…")
    search(page, "nothing")
    expect(page.get_by_text("Nothing was found for “nothing”.")).to_be_visible()
    with page.expect_event("requestfinished", lambda request: request.url.endswith("/v1/applications")):
        service.held["slow"].set()
        page.evaluate("fetch('v1/applications')")
    expect(page.get_by_text("Nothing was found for “nothing”.")).to_be_visible()
    assert hits(page).count() == 0 and page.locator(".facts").first.inner_text().endswith("request q2")


def test_a_new_search_moves_nothing_while_it_runs(visit: Open, service: Service) -> None:
    service.held["slow"] = threading.Event()
    page = visit(DEPOSIT)
    assert_says(page, "4 hits.")
    before = hits(page).first.bounding_box()
    search(page, "slow")
    assert_says(page, "Searching…")
    expect(page.get_by_role("region", name="Hits")).to_have_attribute("aria-busy", "true")
    assert hits(page).first.bounding_box() == before
    service.held["slow"].set()
    assert_says(page, "4 hits.")
    assert hits(page).first.bounding_box() == before


def test_a_long_query_breaks_lines_and_enter_still_searches(visit: Open, service: Service) -> None:
    page = visit()
    page.keyboard.type("deposit")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("not returned")
    page.keyboard.press("Enter")
    assert_says(page, "4 hits.")
    assert service.searches[0]["query"] == "deposit\nnot returned"


def test_a_filter_is_sent_or_explained(visit: Open, service: Service) -> None:
    page = visit(DEPOSIT)
    assert_says(page, "4 hits.")
    page.get_by_text("Filter", exact=True).click()
    page.get_by_label("Filter, as JSON").fill("[2020]")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("The filter is not a JSON object")
    page.get_by_label("Filter, as JSON").fill('{"year": {"gte": "2020"}}')
    page.keyboard.press("Enter")
    assert_says(page, "4 hits.")
    assert [asked.get("filter") for asked in service.searches] == [None, {"year": {"gte": "2020"}}]
    page.reload()
    expect(page.get_by_label("Filter, as JSON")).to_have_value('{"year": {"gte": "2020"}}')
