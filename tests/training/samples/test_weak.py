"""Weak supervision: the pairs each kind reads out of a document, the documents taken, and who may write queries."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mixstage.corpus.hashing import text_hash
from mixstage.corpus.tables import Corpus
from mixstage.errors import PlanError
from mixstage.plan.stages import StagePlan, Workers
from mixstage.training.samples.generators import keywords, open_generator
from mixstage.training.samples.supervision import supervised_pairs
from mixstage.training.samples.weak import read_heading, shard_pairs, weak_supervision

Pairs = dict[str, list[tuple[str, str]]]  # doc_id of the positive -> (query, text)
STAGE = StagePlan()
WORKERS = Workers(workers=2)
EVERYTHING = 1000


def pairs_of(corpus: Corpus, kind: str, generator: str = "keywords", limit: int = EVERYTHING) -> Pairs:
    """Of all shards, without Ray."""
    rows = [
        row
        for name in corpus.names("documents/", ".parquet")
        for row in shard_pairs(corpus, name, kind, StagePlan(generator=generator, limit=limit))
    ]
    return {doc_id: pairs for _, doc_id, pairs in sorted(rows, key=lambda row: row[1])}


def document(doc_id: str, text: str, title: str = "") -> dict[str, str]:
    return {"_id": doc_id, "title": title, "text": text}


# --- kinds --------------------------------------------------------------------------------------------------


def test_a_title_pairs_with_its_text_and_documents_without_one_are_left_out(make_corpus: Any) -> None:
    corpus = make_corpus(
        [document("a", "Thirty days.", "Deposit"), document("b", "No title."), document("c", "Blank.", "  ")]
    )
    assert pairs_of(corpus, "title") == {"a": [("Deposit", "Thirty days.")]}


def test_a_document_pairs_with_the_next_one_wherever_shards_are_cut(make_corpus: Any) -> None:
    documents = [document(f"d{n}", f"Text {n}.", "T" * (n == 2)) for n in range(1, 5)]
    expected = {
        "d2": [("Text 1.", "T. Text 2.")],
        "d3": [("T. Text 2.", "Text 3.")],
        "d4": [("Text 3.", "Text 4.")],
    }
    for shards in (1, 2, 3):
        assert pairs_of(make_corpus(documents, shards=shards), "neighbours") == expected


def test_a_shard_without_documents_is_passed_over(make_corpus: Any) -> None:
    corpus = make_corpus([document("a", "x" * 400), document("b", "One. Two.", "T")], shards=6)
    counts = [corpus.read_table(name).num_rows for name in corpus.names("documents/", ".parquet")]
    assert 0 in counts[1:-1], "the long line fills several ranges"
    assert pairs_of(corpus, "neighbours") == {"b": [("x" * 400, "T. One. Two.")]}
    assert pairs_of(corpus, "title") == {"b": [("T", "One. Two.")]}


def test_one_document_has_no_neighbour(make_corpus: Any) -> None:
    assert pairs_of(make_corpus([document("a", "Alone.")]), "neighbours") == {}


def test_a_cloze_takes_the_sentence_that_the_ids_hash_names_out_of_the_text(make_corpus: Any) -> None:
    sentences = ["The first.", "The second;", "the third!"]
    corpus = make_corpus([document(name, " ".join(sentences)) for name in "abcdef"])
    found = pairs_of(corpus, "cloze")
    for name in "abcdef":
        drawn = text_hash(name) % 3
        rest = " ".join(sentence for number, sentence in enumerate(sentences) if number != drawn)
        assert found[name] == [(sentences[drawn], rest)]
    assert len({pairs[0][0] for pairs in found.values()}) == 3, "not always the same sentence"


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("第一条。第二条；第三条！", ["第一条。", "第二条；", "第三条！"]),  # no space after a sentence
        ("第一条。 Then this. 第二条？", ["第一条。", "Then this.", "第二条？"]),
        ("A rate of 3.5 percent is due. Others pay.", ["A rate of 3.5 percent is due.", "Others pay."]),
        ("Only one sentence.", []),
        ("No end at all", []),
    ],
)
def test_sentences_end_at_their_marks_in_chinese_too(make_corpus: Any, text: str, sentences: list[str]) -> None:
    pairs = pairs_of(make_corpus([document("a", text)]), "cloze")
    if not sentences:
        assert pairs == {}
        return
    drawn = text_hash("a") % len(sentences)
    rest = sentences[:drawn] + sentences[drawn + 1 :]
    assert pairs == {"a": [(sentences[drawn], " ".join(rest))]}


@pytest.mark.parametrize(
    ("line", "heading"),
    [
        ("# Deposit", "Deposit"),
        ("###### Return of the deposit", "Return of the deposit"),
        ("####### seven marks", None),
        ("#hashtag", None),
        ("Article 5 Deposit", "Article 5 Deposit"),
        ("ARTICLE 5", "ARTICLE 5"),
        ("Section 3.2 Rent", "Section 3.2 Rent"),
        ("Part II General", "Part II General"),
        ("§ 12 Deposit", "§ 12 Deposit"),
        ("§12 Deposit", "§12 Deposit"),
        ("3.1 Rent", "3.1 Rent"),
        ("4) Repairs", "4) Repairs"),
        ("第三章 租赁合同", "第三章 租赁合同"),
        ("第十二条 租金", "第十二条 租金"),
        ("Part of the rent", None),
        ("Rule of law", None),
        ("PARTIES TO THE LEASE", None),
        ("Article 5 says that the deposit is returned.", None),
        ("第三条 民事主体的人身权利受法律保护。", None),
        ("1. 承租人应当按照约定的期限支付租金；", None),
        ("# " + " ".join(["word"] * 14), " ".join(["word"] * 14)),
        ("# " + " ".join(["word"] * 15), None),  # a sentence, however marked
        ("# " + "长" * 101, None),
        ("Deposit", None),
        ("", None),
    ],
)
def test_a_heading_is_marked_or_numbered_and_short(line: str, heading: str | None) -> None:
    assert read_heading(line) == heading


def test_a_heading_pairs_with_what_follows_it_up_to_the_next_one(make_corpus: Any) -> None:
    text = "Preamble.\n# Deposit\n\nIt is returned.\n  Within thirty days.\n## Rent\nIt is due.\n"
    sections = [("Deposit", "It is returned. Within thirty days."), ("Rent", "It is due.")]
    corpus = make_corpus([document(name, text, "Lease") for name in "abcdef"])
    found = pairs_of(corpus, "heading")
    assert found == {name: [sections[text_hash(name) % 2]] for name in "abcdef"}
    assert {pairs[0][0] for pairs in found.values()} == {"Deposit", "Rent"}


def test_a_heading_above_a_heading_or_at_the_end_is_none_and_a_text_without_one_gives_nothing(
    make_corpus: Any,
) -> None:
    text = "# General\n## Deposit\nIt is returned.\n# Annex"
    documents = [document(name, text) for name in "abcd"]
    pairs = pairs_of(make_corpus([*documents, document("z", "# Title only"), document("y", "No heading.")]), "heading")
    assert pairs == {name: [("Deposit", "It is returned.")] for name in "abcd"}


def test_chinese_headings_pair_with_their_articles(make_corpus: Any) -> None:
    corpus = make_corpus([document("a", "第一章 总则\n出租人应当交付租赁物。\n承租人应当支付租金。")])
    assert pairs_of(corpus, "heading") == {"a": [("第一章 总则", "出租人应当交付租赁物。 承租人应当支付租金。")]}


# --- generated queries --------------------------------------------------------------------------------------


def test_keywords_are_the_content_words_of_the_sentence_that_the_texts_hash_names() -> None:
    text = "The deposit is returned to the tenant within thirty days. Rent is due on the first day of the month."
    expected = ["deposit returned tenant within thirty days", "rent due first day month"][text_hash(text) % 2]
    assert keywords("Title", text) == [expected]


def test_keywords_are_at_most_eight_distinct_words_and_at_least_three() -> None:
    assert keywords("", "one two one three four five six seven eight nine") == [
        "one two three four five six seven eight"
    ]
    assert keywords("", "The deposit is returned") == []  # deposit, returned
    assert keywords("", "一二三四五六七八九十") == []  # words without spaces are one word
    assert keywords("", "") == []
    assert keywords("", "...") == []


def test_generated_queries_pair_with_the_whole_document_and_one_that_finds_no_words_gives_nothing(
    make_corpus: Any,
) -> None:
    text = "Deposit returned thirty days"
    corpus = make_corpus([document("a", text, "T"), document("b", "押金。"), document("c", text)])
    query = "deposit returned thirty days"
    assert pairs_of(corpus, "generated") == {"a": [(query, f"T. {text}")], "c": [(query, text)]}


MODULE = """
def two(title, text):
    return [f"what is {title}?", f"where is {text}?", " "]

def one_string(title, text):
    return "a query"

def numbers(title, text):
    return (1, 2)

def nothing(title, text):
    return None

LIMIT = 3
"""


@pytest.fixture
def generators(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of an importable module with query generators."""
    name = "generators_of_a_user"
    (tmp_path / f"{name}.py").write_text(MODULE)
    (tmp_path / "broken_generators.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield name
    sys.modules.pop(name, None)


def test_a_users_generator_may_give_several_queries_and_blank_ones_are_left_out(
    make_corpus: Any, generators: str
) -> None:
    corpus = make_corpus([document("a", "here", "it")])
    expected = [("what is it?", "it. here"), ("where is here?", "it. here")]
    assert pairs_of(corpus, "generated", f"{generators}:two") == {"a": expected}


@pytest.mark.parametrize("function", ["one_string", "numbers", "nothing"])
def test_a_generator_that_gives_no_list_of_strings_is_told_so(make_corpus: Any, generators: str, function: str) -> None:
    with pytest.raises(PlanError, match="for document 'a': return a list of strings"):
        pairs_of(make_corpus([document("a", "here", "it")]), "generated", f"{generators}:{function}")


@pytest.mark.parametrize(
    "name", ["nosuch", "no.such.module:f", "mixstage.errors:nosuch", ":f", ".relative:f", "", "broken_generators:f"]
)
def test_a_name_that_can_not_be_imported_is_a_plan_error(generators: str, name: str) -> None:
    with pytest.raises(PlanError, match=r"generators.*write keywords, or PACKAGE\.MODULE:NAME"):
        open_generator(name)


def test_what_can_not_be_called_is_no_generator(generators: str) -> None:
    with pytest.raises(PlanError, match="LIMIT is of type int, and one of generators is a function"):
        open_generator(f"{generators}:LIMIT")


# --- which documents ----------------------------------------------------------------------------------------


def test_of_a_shard_the_documents_of_smallest_hash_are_taken(make_corpus: Any) -> None:
    names = [f"d{n}" for n in range(40)]
    corpus = make_corpus([document(name, "text", f"title {name}") for name in names])
    smallest = sorted(names, key=text_hash)[:7]
    assert sorted(pairs_of(corpus, "title", limit=7)) == sorted(smallest)


def part_of(corpus: Corpus, kind: str, **stage: Any) -> Any:
    (part,) = weak_supervision({"law": corpus}, kind, StagePlan(**stage), WORKERS)
    return part


@pytest.fixture
def grown(make_corpus: Any) -> Callable[[int, int], Corpus]:
    def make(count: int, shards: int) -> Corpus:
        documents = [document(f"d{n}", f"text {n}", f"title {n}") for n in range(count)]
        return make_corpus(documents, name=f"c{count}-{shards}", shards=shards)  # type: ignore[no-any-return]

    return make


def test_a_grown_corpus_keeps_its_sample_but_for_what_newer_documents_displace(
    ray_cluster: None, grown: Callable[[int, int], Corpus]
) -> None:
    before = set(part_of(grown(60, 3), "title", limit=10).documents)
    after = set(part_of(grown(80, 4), "title", limit=10).documents)
    assert before == set(sorted((f"d{n}" for n in range(60)), key=text_hash)[:10])
    assert after == set(sorted((f"d{n}" for n in range(80)), key=text_hash)[:10])
    assert after & {f"d{n}" for n in range(60)} <= before


@pytest.mark.parametrize("kind", ["title", "neighbours"])
def test_the_pairs_are_the_same_through_ray_wherever_shards_are_cut(
    ray_cluster: None, grown: Callable[[int, int], Corpus], kind: str
) -> None:
    one, five = (part_of(grown(30, shards), kind, limit=12) for shards in (1, 5))
    rows = supervised_pairs([one]).rows()
    assert rows == supervised_pairs([five]).rows()
    plain = pairs_of(grown(30, 1), kind)
    expected = sorted(plain, key=text_hash)[:12]
    assert {row[:2] for row in rows} == {pair for doc_id in expected for pair in plain[doc_id]}
    assert {row[4] for row in rows} == {f"{kind}:law"}


def test_a_generator_works_on_ray_and_the_limit_counts_its_pairs(ray_cluster: None, make_corpus: Any) -> None:
    # the title is the pattern of re.findall: three queries a document, and the fifth pair is the last
    corpus = make_corpus([document(name, f"{name}1 {name}2 {name}3", r"\w+") for name in "abcd"], shards=2)
    first, second = sorted("abcd", key=text_hash)[:2]
    rows = supervised_pairs([part_of(corpus, "generated", generator="re:findall", limit=5)]).rows()
    expected = [(name, number) for name in (first, second) for number in (1, 2, 3)][:5]
    assert sorted(row[0] for row in rows) == sorted(f"{name}{number}" for name, number in expected)


def test_what_is_wrong_with_a_generator_comes_back_from_the_workers(ray_cluster: None, make_corpus: Any) -> None:
    with pytest.raises(PlanError, match="the generator gave 'ab' for document 'd': return a list of strings"):
        part_of(make_corpus([document("d", "b", "a")]), "generated", generator="operator:concat")


def test_every_pair_is_a_query_of_its_own(ray_cluster: None, make_corpus: Any) -> None:
    text = "Deposit returned within thirty days"
    corpus = make_corpus([document("a", text), document("b", text)])  # the same words twice
    part = part_of(corpus, "generated")
    query = "deposit returned within thirty days"
    assert part.queries.rows() == [("generated:law:b:0", query), ("generated:law:a:0", query)]
    assert part.judgements.rows() == [("generated:law:b:0", "b", 1), ("generated:law:a:0", "a", 1)]
    assert part.documents == {"a": text, "b": text}
    assert part.titled


def test_a_corpus_that_lacks_what_a_kind_reads_gives_an_empty_part(ray_cluster: None, make_corpus: Any) -> None:
    part = part_of(make_corpus([document("a", "text")]), "title")
    assert (len(part.queries), len(part.judgements), part.documents) == (0, 0, {})
    assert supervised_pairs([part]).is_empty()
