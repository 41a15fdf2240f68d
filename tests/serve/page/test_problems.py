"""What the search page says when something is missing or wrong, in a real Chromium."""

import re
import threading

from tests.serve.page.service import LIVE, PLAIN, Service
from tests.serve.page.window import DEPOSIT, Open, assert_says, expect, hits, search


def test_a_key_is_asked_for_and_kept_by_the_tab(visit: Open, service: Service) -> None:
    service.key = "s3cret"
    page = visit(f"{DEPOSIT}&compare={PLAIN}")
    field = page.get_by_label("API key")
    expect(field).to_be_focused()
    expect(page.get_by_text("This service wants an API key.")).to_be_visible()
    page.keyboard.type("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_text("This key was not accepted. This service wants an API key.")).to_be_visible()
    page.keyboard.type(" s3cret ")
    page.keyboard.press("Enter")
    expect(hits(page, "Compared hits")).to_have_count(4)
    expect(field).to_be_hidden()
    assert "s3cret" not in page.content() + page.url
    page.reload()
    expect(hits(page)).to_have_count(4)
    service.key = "another"  # changed while the page is open: both lists wait for one form
    search(page, "notice")
    expect(page.get_by_text("This key was not accepted.")).to_be_visible()
    page.keyboard.type("another")
    page.keyboard.press("Enter")
    expect(page.locator(".facts").first).to_contain_text(re.compile(r"request q[56]"))
    page.get_by_role("button", name="Forget the key").click()
    expect(field).to_be_visible()


def test_a_refusal_that_comes_late_asks_for_no_second_key(visit: Open, service: Service) -> None:
    page = visit(f"{DEPOSIT}&compare={PLAIN}")
    expect(hits(page, "Compared hits")).to_have_count(4)
    service.key = "s3cret"
    service.held["refusal"] = threading.Event()  # of the second list
    search(page, "notice")
    page.get_by_label("API key").fill("s3cret")
    page.keyboard.press("Enter")
    expect(page.locator(".facts").first).to_contain_text("request q3")
    service.held["refusal"].set()
    expect(page.locator(".facts").last).to_contain_text("request q4")
    expect(page.get_by_label("API key")).to_be_hidden()


def test_a_problem_is_told_in_sentences_with_its_request(visit: Open, service: Service) -> None:
    service.problems["search"] = (
        503,
        {"title": "Service Unavailable", "detail": "The reranker <i>does</i> not answer."},
    )
    page = visit(DEPOSIT)
    expect(page.get_by_role("alert")).to_have_text(
        "Service Unavailable (503)The reranker <i>does</i> not answer."
        "The service asks to wait 2 s before the next try.Request r-77"
    )
    service.problems["search"] = (
        422,
        {"title": "Unprocessable", "problems": [{"field": "filter.year", "problem": "is unknown"}]},
    )
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("alert")).to_contain_text("filter.year: is unknown")
    service.problems.clear()
    page.get_by_role("button", name="Try again").click()
    assert_says(page, "4 hits.")
    expect(page.get_by_role("alert")).to_be_hidden()


def test_one_list_fails_alone(visit: Open, service: Service) -> None:
    del service.lists[PLAIN]  # a bare 500, no problem+json
    page = visit(f"{DEPOSIT}&compare={PLAIN}")
    expect(page.get_by_role("alert")).to_have_text("The service answered with status 500")
    expect(hits(page)).to_have_count(4)
    expect(hits(page).locator(".only:visible")).to_have_count(0)


def test_a_service_that_is_gone_is_told(visit: Open) -> None:
    page = visit(DEPOSIT)
    assert_says(page, "4 hits.")
    page.context.set_offline(True)
    search(page, "notice")
    expect(page.get_by_role("alert")).to_contain_text("The service can't be reached")
    page.context.set_offline(False)
    page.get_by_role("button", name="Try again").click()
    assert_says(page, "4 hits.")


def test_applications_that_can_not_be_read_are_asked_for_again(visit: Open, service: Service) -> None:
    service.problems["applications"] = (503, {"title": "Service Unavailable", "detail": "The registry is away."})
    page = visit(DEPOSIT)
    expect(page.get_by_role("alert")).to_contain_text("The registry is away.")
    service.problems.clear()
    page.get_by_role("button", name="Try again").click()
    assert_says(page, "4 hits.")


def test_a_search_goes_on_without_compositions(visit: Open, service: Service) -> None:
    service.problems["compositions"] = (500, {"title": "Broken"})
    page = visit(DEPOSIT)
    assert_says(page, "4 hits.")
    expect(page.locator("#standing")).to_contain_text("What can be compared is not known: Broken (500).")
    expect(page.get_by_role("combobox", name="Compare with")).to_be_disabled()


def test_an_application_without_a_release_is_told(visit: Open, service: Service) -> None:
    wanted = {"release": 1, "composition": LIVE}
    service.standings["new"] = {
        "release": None,
        "composition": None,
        "generation": None,
        "wanted": wanted,
        "trial": None,
    }
    page = visit("?application=new")
    expect(page.locator("#standing")).to_have_text(
        f"No release of new answers yet. Release 1 is wanted, and not answering yet: {LIVE}."
    )
    expect(page.locator("#application option:checked")).to_have_text("new (no release)")


def test_a_service_with_nothing_released_is_told(visit: Open, service: Service) -> None:
    service.standings.clear()
    page = visit()
    expect(page.locator("#standing")).to_contain_text("Nothing is released yet")


def test_a_promotion_while_the_page_is_open_is_noticed(visit: Open, service: Service) -> None:
    service.standings["counsel"]["release"] = 11
    page = visit()
    expect(page.locator("#standing")).to_contain_text("release 11.")
    service.standings["counsel"]["release"] = 12
    search(page, "deposit")
    expect(page.locator("#standing")).to_contain_text("release 12.")
