"""The page in a real browser: keys, mouse, reload, the saved file, and the job that reads it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from mixstage.commands.judge import main
from mixstage.judging.ask import Page
from mixstage.pipeline import Pipeline
from tests.handmade import PLAN
from tests.judging.conftest import A, B


@pytest.fixture
def tab(chromium: Any, page: Page, tmp_path: Path) -> Iterator[Any]:
    """The page alone, as a judge gets it, on a phone-sized screen. Fails on any script error or request."""
    copy = tmp_path / "for-the-judge.html"
    copy.write_bytes(Path(page.path, "index.html").read_bytes())
    context = chromium.new_context(viewport={"width": 400, "height": 800})
    opened = context.new_page()
    wrong: list[str] = []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    opened.on(
        "request", lambda request: None if request.url.startswith(("file:", "blob:")) else wrong.append(request.url)
    )
    opened.goto(copy.as_uri())
    yield opened
    context.close()
    assert wrong == []


def place(tab: Any) -> str:
    return str(tab.inner_text("#place"))


def press(tab: Any, *keys: str) -> None:
    for key in keys:
        tab.keyboard.press(key)


def saved(tab: Any) -> dict[str, Any]:
    with tab.expect_download() as download:
        tab.click("#save")
    assert download.value.suggested_filename.startswith("answers-")
    return dict(json.loads(Path(download.value.path()).read_text()))


def test_keys_answer_undo_and_survive_a_reload(tab: Any) -> None:
    assert place(tab) == "Question 1 of 8"
    press(tab, "ArrowLeft", "ArrowRight", "t", "=", "b")
    assert place(tab) == "Question 6 of 8"
    press(tab, "Backspace", "Backspace")
    tab.reload()
    assert place(tab) == "Question 4 of 8"
    press(tab, "B", "Control+ArrowLeft", "Alt+ArrowRight")  # the browser's own
    assert saved(tab)["choices"] == ["left", "right", "tie", "bad"]


def test_the_mouse_does_the_same_and_the_end_is_said(tab: Any) -> None:
    for choice in ("left", "right", "tie", "bad") * 2:
        tab.click(f"[data-choice={choice}]")
    assert place(tab) == "8 of 8 answered" and tab.is_visible("text=All questions are answered")
    assert not tab.is_visible("[data-choice=left]") and not tab.is_visible("#query")
    press(tab, "ArrowLeft")  # nothing is left to answer
    assert saved(tab)["choices"] == ["left", "right", "tie", "bad"] * 2
    tab.click("#undo")
    assert place(tab) == "Question 8 of 8" and tab.is_visible("#query")


def test_what_the_page_saves_the_job_reads(
    tab: Any, pipeline: Pipeline, page: Page, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The judge prefers B everywhere, wherever it stands."""
    for question in page.read_json("key.json")["questions"]:
        press(tab, "ArrowRight" if question["left"] == "a" else "ArrowLeft")
    (tmp_path / "answers.json").write_text(json.dumps(saved(tab)))
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump({**PLAN, "store": pipeline.store.uri}))
    assert main([str(tmp_path / "plan.yaml"), "--read", str(tmp_path / "answers.json")]) == 0
    said = capsys.readouterr().out
    assert f"A: {A}\nB: {B}" in said
    assert f"Preferred: {B} (p 0.0078, exact sign test)" in said  # 2 / 2^8
    assert "Left preferred in 4 of 8 (p 1.0000" in said


def test_lists_show_titles_and_texts_with_the_words_of_the_query_marked(tab: Any, page: Page) -> None:
    data = json.loads(tab.inner_text("#data"))
    question = data["questions"][0]
    assert tab.inner_text("#query") == question["query"]
    for side in ("left", "right"):
        shown = [data["documents"][number] for number in question[side]]
        assert tab.locator(f"#{side} li b").all_inner_texts() == [document["title"] for document in shown]
        assert tab.locator(f"#{side} li p").all_text_contents() == [document["text"] for document in shown]
    marked = tab.locator("#left li").first.locator("mark").all_inner_texts()
    assert marked == ["appeals"]  # of "When may ... appeal?", to the word's end; "<b>" is text, no markup


def test_an_unknown_application_is_answered_with_the_nearest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump({**PLAN, "store": str(tmp_path)}))
    assert main([str(tmp_path / "plan.yaml"), "--application", "draftin"]) == 2
    assert "judge: no application 'draftin': nearest first, there are 'drafting', 'counsel'" in capsys.readouterr().err


def test_a_screen_reader_and_a_keyboard_alone_find_their_way(tab: Any) -> None:
    assert tab.evaluate("document.activeElement.id") == "query"
    for _ in range(2):  # past a button that can't be pressed yet
        press(tab, "Tab")
    assert tab.evaluate("document.activeElement.dataset.choice") == "tie"
    press(tab, "Enter")
    assert place(tab) == "Question 2 of 8" and tab.evaluate("document.activeElement.id") == "query"
    assert tab.get_by_role("status").inner_text() == place(tab)
    assert tab.get_by_role("button", name="Left is better").is_visible()
    press(tab, "w")
    assert tab.get_attribute("#whole", "aria-pressed") == "true"


def test_a_phone_scrolls_in_one_direction_only(tab: Any) -> None:
    assert tab.evaluate("document.documentElement.scrollWidth") <= 400
    left, right = (tab.locator(f"#{side}").bounding_box() for side in ("left", "right"))
    assert left["width"] > 300 and right["y"] >= left["y"] + left["height"]  # one below the other


def test_a_browser_that_keeps_nothing_says_so(chromium: Any, page: Page) -> None:
    opened = chromium.new_page()
    opened.add_init_script("Storage.prototype.setItem = () => { throw new Error('full') }")
    opened.goto(Path(page.path, "index.html").as_uri())
    assert not opened.is_visible("#warning")
    press(opened, "t")
    assert opened.is_visible("#warning") and place(opened) == "Question 2 of 8"
    opened.close()
