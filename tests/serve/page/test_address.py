"""The search page's address is its state: shared, gone back to."""

import re

from tests.serve.page.service import LIVE, TRIED, Service
from tests.serve.page.window import Open, assert_says, expect, hits, search


def test_the_address_is_the_search(visit: Open, service: Service) -> None:
    page = visit()
    search(page, "deposit & <notice>")
    assert_says(page, "4 hits.")
    page.get_by_label("Application").select_option("drafting")
    expect(page).to_have_url(re.compile(r"\?application=drafting&q=deposit\+%26\+%3Cnotice%3E$"))
    assert_says(page, "4 hits.")
    page.get_by_role("combobox", name="Compare with").select_option(LIVE)
    expect(hits(page, "Compared hits")).to_have_count(4)
    shared = visit(page.url.rpartition("/")[2])
    expect(hits(shared, "Compared hits")).to_have_count(4)
    expect(shared.get_by_label("Application")).to_have_value("drafting")
    expect(shared.get_by_role("combobox", name="Compare with")).to_have_value(LIVE)
    expect(shared.get_by_label("Query")).to_have_value("deposit & <notice>")

    page.go_back()
    expect(page.get_by_role("region", name="Compared hits")).to_be_hidden()
    page.go_back()
    expect(page.get_by_label("Application")).to_have_value("counsel")
    page.go_back()
    expect(page.get_by_label("Query")).to_have_value("")
    expect(page.get_by_role("region", name="Hits", exact=True)).to_be_hidden()
    page.go_forward()
    assert_says(page, "4 hits.")
    expect(page.get_by_label("Query")).to_have_value("deposit & <notice>")


def test_a_composition_that_does_not_run_is_told(visit: Open, service: Service) -> None:
    service.compositions["available"] = [LIVE]
    service.lists[TRIED] = []
    page = visit(f"?application=counsel&q=deposit&compare={TRIED}".replace(" ", "%20"))
    expect(page.locator("#compare option:checked")).to_have_text(f"{TRIED} (not running)")
