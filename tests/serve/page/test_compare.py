"""Two compositions side by side, and judgements of their hits, in a real Chromium."""

import threading

import pytest

from tests.serve.page.service import LIVE, PLAIN, TRIED, Service
from tests.serve.page.window import DEPOSIT, Open, assert_says, expect, hits, search


def test_two_compositions_stand_side_by_side(visit: Open, service: Service) -> None:
    page = visit(DEPOSIT)
    assert_says(page, "4 hits.")
    page.get_by_role("combobox", name="Compare with").select_option(PLAIN)
    # d1 d2 d3 d4 and d3 d2 d5 d6
    assert_says(page, "2 of 4 hits are in both lists, 1 at the same place; they begin with different ones.")
    assert [asked.get("composition") for asked in service.searches] == [None, PLAIN]  # the first list was there already
    notes = [hit.locator(".also:visible, .only:visible").inner_text() for hit in hits(page).all()]
    assert notes == ["only here", "also at 2", "also at 1", "only here"]
    other = hits(page, "Compared hits")
    left, right = hits(page).first.bounding_box(), other.first.bounding_box()
    assert left["x"] + left["width"] <= right["x"] and left["y"] == right["y"]
    assert other.nth(2).locator(".title").inner_text() == "d5"  # that has no title
    assert other.first.locator(".ranks").inner_text() == "retrieved 1 (1)"  # no reranker, no second rank
    assert "reranking none" in page.locator(".phases").nth(1).inner_text()

    other.nth(0).hover()
    assert page.locator(".lit").evaluate_all("all => all.map((hit) => hit.dataset.place)") == ["3", "1"]
    hits(page).nth(1).get_by_role("button", name="also at 2").click()
    expect(other.nth(1)).to_be_focused()


@pytest.mark.parametrize(
    ("second", "sentence"),
    [
        (["d1", "d2", "d3", "d4"], "Both lists are the same, in the same order."),
        (["d5", "d6"], "The lists have no hit in common."),
        (["d1", "d4"], "2 of 4 and 2 hits are in both lists, 1 at the same place; both begin with the same."),
        (["d2", "d1"], "2 of 4 and 2 hits are in both lists, none at the same place; they begin with different ones."),
    ],
)
def test_the_overlap_is_said(visit: Open, service: Service, second: list[str], sentence: str) -> None:
    service.lists[PLAIN] = second
    assert_says(visit(f"{DEPOSIT}&compare={PLAIN}"), sentence)


def test_the_tried_composition_is_compared_with_first(visit: Open, service: Service) -> None:
    trial = {"action": "canary", "composition": TRIED, "share": 0.1, "release": 13}
    service.standings["counsel"].update(trial=trial, wanted={"release": 14, "composition": PLAIN})
    service.compositions.update(trial=TRIED, available=[PLAIN, LIVE, TRIED])
    service.lists[TRIED] = ["d1"]
    page = visit(DEPOSIT)
    expect(page.locator("#standing")).to_have_text(
        f"Live: {LIVE}, release 12. Release 14 is wanted, and not answering yet: {PLAIN}. "
        f"On trial (canary): {TRIED} answers 10 % of the users."
    )
    assert_says(page, "4 hits.")
    page.locator("#status").click()
    page.get_by_label("Query").blur()
    page.keyboard.press("c")
    expect(page.get_by_role("combobox", name="Compare with")).to_have_value(TRIED)
    expect(hits(page, "Compared hits")).to_have_count(1)
    page.keyboard.press("c")
    expect(page.get_by_role("region", name="Compared hits")).to_be_hidden()


@pytest.mark.parametrize(("role", "word"), [("interleave", "interleaved"), ("canary", "canary")])
def test_a_trial_is_told(visit: Open, service: Service, role: str, word: str) -> None:
    service.role = role
    page = visit(DEPOSIT)
    expect(page.locator(".role").first).to_have_text(word)


def test_judgements_are_sent_shown_and_changed(visit: Open, service: Service) -> None:
    page = visit(f"{DEPOSIT}&compare={PLAIN}")
    expect(hits(page, "Compared hits")).to_have_count(4)
    third = hits(page).nth(2)  # d3, the first of the other list
    third.get_by_role("button", name="Relevant", exact=True).click()
    expect(third.locator(".sent")).to_have_text("sent: relevant")
    twin = hits(page, "Compared hits").nth(0)
    expect(twin.get_by_role("button", name="Relevant", exact=True)).to_have_attribute("aria-pressed", "true")
    third.get_by_role("button", name="Relevant", exact=True).click()  # said already
    third.get_by_role("button", name="Not relevant").click()
    expect(twin.locator(".sent")).to_have_text("sent: not relevant")
    expect(third.get_by_role("button", name="Relevant", exact=True)).to_have_attribute("aria-pressed", "false")
    expect(page.locator("#said")).to_have_text("Notice: sent: not relevant")
    live = next(f"q{n}" for n, asked in enumerate(service.searches, 1) if "composition" not in asked)
    told = {"application": "counsel", "request_id": live, "document_id": "d3", "user": service.searches[0]["user"]}
    assert service.feedback == [{**told, "kind": "relevant"}, {**told, "kind": "not_relevant"}]
    search(page, "another")
    expect(page).to_have_title("another · counsel · mixstage")
    expect(third.locator(".sent")).to_have_text("")  # of another query nothing is said
    page.go_back()
    expect(third.locator(".sent")).to_have_text("sent: not relevant")


def test_the_last_judgement_is_the_last_that_the_service_hears(visit: Open, service: Service) -> None:
    service.held["relevant"] = threading.Event()
    page = visit(DEPOSIT)
    assert_says(page, "4 hits.")
    page.keyboard.press("j")
    page.keyboard.press("r")
    page.keyboard.press("n")
    expect(hits(page).first.locator(".sent")).to_have_text("sending…")
    service.held["relevant"].set()
    expect(hits(page).first.locator(".sent")).to_have_text("sent: not relevant")
    assert [told["kind"] for told in service.feedback] == ["relevant", "not_relevant"]


def test_a_judgement_that_is_not_sent_is_taken_back(visit: Open, service: Service) -> None:
    service.problems["feedback"] = (503, {"title": "Service Unavailable", "detail": "The registry can't be written."})
    page = visit(DEPOSIT)
    button = hits(page).first.get_by_role("button", name="Relevant", exact=True)
    button.click()
    expect(hits(page).first.locator(".sent")).to_contain_text("not sent: Service Unavailable (503): The registry can't")
    expect(button).to_have_attribute("aria-pressed", "false")
    service.problems.clear()
    button.click()
    expect(hits(page).first.locator(".sent")).to_have_text("sent: relevant")
