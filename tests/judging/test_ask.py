"""The page and its key: what is drawn, what is shown, what is hidden."""

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import mixstage
from mixstage.commands.evaluate import boards_of
from mixstage.commands.judge import make_page, say_page
from mixstage.composition import Composition
from mixstage.errors import InputError
from mixstage.evaluation.export import final_run
from mixstage.judging.ask import Page, draw, draw_sides
from mixstage.pipeline import Pipeline
from tests.handmade import DOCUMENTS, QUERY_COUNT, query_text
from tests.judging.conftest import A, B, asked


def text_of(page: Page, name: str) -> str:
    with page.filesystem.open_input_stream(page.file(name)) as stream:
        return str(stream.read().decode())


def data_of(page: Page) -> dict:
    html = text_of(page, "index.html")
    return dict(json.loads(html.partition('id="data">')[2].partition("</script>")[0]))


def top(pipeline: Pipeline, name: str, application: str, query: str, k: int) -> list[str]:
    """By sorting the exported run: another way to the list."""
    chosen = [Composition.parse(name)]
    run = final_run(boards_of(pipeline, chosen).get(application, "dev").board, chosen[0]).get(query, {})
    return sorted(run, key=lambda doc: (np.float32(run[doc]), doc.encode()), reverse=True)[:k]


def test_every_question_shows_both_lists_on_the_sides_that_the_key_tells(pipeline: Pipeline, page: Page) -> None:
    key, data = page.read_json("key.json"), data_of(page)
    texts = {(row["title"], row["text"]): row["_id"] for row in DOCUMENTS}
    ids = [texts[document["title"], document["text"]] for document in data["documents"]]
    assert (key["a"], key["b"], data["page"]) == (A, B, page.digest)
    assert len(key["questions"]) == len(data["questions"]) == 8
    for hidden, shown in zip(key["questions"], data["questions"], strict=True):
        assert shown["query"] == query_text(hidden["query_id"]) and shown["application"] == hidden["application"]
        sides = (A, B) if hidden["left"] == "a" else (B, A)
        for side, name in zip(("left", "right"), sides, strict=True):
            expected = top(pipeline, name, hidden["application"], hidden["query_id"], 3)
            assert [ids[number] for number in shown[side]] == expected


def test_the_page_holds_no_name_no_address_and_no_markup_of_the_texts(page: Page) -> None:
    html = text_of(page, "index.html")
    for hidden in ("robust", "refine", "bm25", "retriever", "reranker", "http:", "https:", "<b>appeals"):
        assert hidden not in html
    assert "\\u003cb>appeals\\u003c/b>" in html  # of the documents' text


def test_queries_with_the_same_list_twice_are_counted_and_not_shown(pipeline: Pipeline) -> None:
    other = "retriever:robust@3 > reranker:refine@10"
    page = make_page(pipeline, asked(b=other, queries=99, k=1))
    for application, queries in page.meta["queries"].items():
        assert queries == QUERY_COUNT
        same = [
            top(pipeline, A, application, query, 1) == top(pipeline, other, application, query, 1)
            for query in (f"{application}-dev-{i}" for i in range(QUERY_COUNT))
        ]
        assert 1 < page.meta["identical"][application] == sum(same) < QUERY_COUNT  # one finds nothing
        assert page.meta["shown"][application] == QUERY_COUNT - sum(same)
    assert len(page.read_json("key.json")["questions"]) == sum(page.meta["shown"].values())


def test_the_same_question_finds_the_same_page_and_another_seed_another(pipeline: Pipeline, page: Page) -> None:
    assert make_page(pipeline, asked()).path == page.path
    assert make_page(pipeline, asked(queries=7)).digest != page.digest


def test_what_is_shown_is_said(pipeline: Pipeline, page: Page, capsys: pytest.CaptureFixture[str]) -> None:
    say_page(pipeline.progress, page)
    said = capsys.readouterr().out
    assert "counsel: 4 of 7 queries shown, 1 have the same list twice" in said
    assert f"{page.path}/index.html" in said


def test_applications_take_turns_until_they_run_out() -> None:
    drawn = draw({"few": 2, "many": 9, "none": 0}, 7, np.random.default_rng(0))
    assert Counter(name for name, _ in drawn) == {"few": 2, "many": 5}
    assert len({*drawn}) == 7 and all(number < {"few": 2, "many": 9}[name] for name, number in drawn)
    assert [name for name, _ in drawn] != sorted(name for name, _ in drawn)  # shuffled


@pytest.mark.parametrize("seed", range(5))
def test_sides_are_even_in_each_application(seed: int) -> None:
    applications = ["x", "y", "x", "x", "y", "x", "z"] * 3
    sides = draw_sides(applications, np.random.default_rng(seed))
    for name, size in Counter(applications).items():
        left = sum(side == "a" for side, other in zip(sides, applications, strict=True) if other == name)
        assert size // 2 <= left <= size - size // 2


def test_a_single_question_has_either_side() -> None:
    assert {draw_sides(["x"], np.random.default_rng(seed))[0] for seed in range(20)} == {"a", "b"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"b": A}, "against itself"),
        ({"queries": 0}, "--queries 0: ask for 1 or more"),
        ({"k": 0}, "--k 0: 10 hits are answered; show 1 to as many"),
        ({"k": 11}, "--k 11: 10 hits are answered"),
        (
            {"a": "bm25@5 > none@10"},
            "no composition 'bm25@5 > none@10': nearest first, there are 'bm25@3 > none@10', 'bm25@6 > none@10'",
        ),
        ({"a": "bm25@6 > none@10", "b": "bm25@3 > none@10"}, "are the same for every query: nothing to judge"),
    ],
)
def test_what_cannot_be_asked_is_refused(pipeline: Pipeline, options: dict, message: str) -> None:
    with pytest.raises(InputError) as refusal:
        make_page(pipeline, asked(**options))
    assert message in str(refusal.value)


def test_the_page_leaves_out_the_words_that_the_search_page_leaves_out() -> None:
    def common(text: str) -> list[str]:
        block = text[text.index("const COMMON = new Set(") : text.index('.split(" ")')]
        return " ".join(re.findall(r'"([^"]*)"', block)).split()

    package = Path(mixstage.__file__).parent
    words = common((package / "judging/page.html").read_text(encoding="utf-8"))
    assert words == common((package / "serve/static/words.js").read_text(encoding="utf-8"))
    assert {"that", "from", "with"} <= set(words)
