"""Messages about plans: they name the field that was probably meant, what to write there, and what the field does."""

from typing import Any

import pytest

from mixstage.errors import PlanError
from mixstage.plan.load import parse_plan

Raw = dict[str, Any]


def assert_refused(sections: Raw, *expected: str) -> None:
    """The plan is refused, and the message holds all of these."""
    raw = {
        "name": "t",
        "corpora": {"law": {"source": "sample://statutes"}},
        "applications": {"counsel": {"corpus": "law", "source": "sample://counsel"}},
    }
    with pytest.raises(PlanError) as caught:
        parse_plan(raw | sections)
    for text in expected:
        assert text in str(caught.value), str(caught.value)


def stage(**fields: Any) -> Raw:
    return {"retriever": {"stages": {"refine": fields}}}


def test_a_misspelt_field_names_the_nearest_one_of_its_section_and_says_what_it_does() -> None:
    assert_refused(
        stage(**{"batch-size": 8}),
        "retriever.stages.refine.batch-size: no such field; did you mean retriever.stages.refine.batch_size?\n",
        "      batch_size: Anchors (of a retriever) or rows (of a reranker) an optimiser step reads",
    )


def test_a_slip_of_a_letter_is_looked_for_in_its_section_before_other_sections() -> None:
    assert_refused({"grid": {"depth": 5}}, "grid.depth: no such field; did you mean grid.depths?")


@pytest.mark.parametrize(
    ("sections", "meant"),
    [
        (stage(hard_rank=3), "retriever.stages.refine.mine.hard_rank"),
        (
            {"reranker": {"stages": {"a": {"mine": {"miners": ["bm25"], "teacher": "x"}}}}},
            "reranker.stages.a.loss.teacher",
        ),
        ({"retriever": {"layers": 2}}, "reranker.layers"),
        ({"port": 8001}, "serving.port"),
        ({"bm25": False}, "grid.bm25"),
    ],
)
def test_a_field_in_the_wrong_section_names_the_nearest_section_that_has_it(sections: Raw, meant: str) -> None:
    assert_refused(sections, f"no such field; did you mean {meant}?")


def test_a_field_that_resembles_none_lists_those_of_its_section() -> None:
    assert_refused(stage(mlm={"zzz": 1}), "retriever.stages.refine.mlm.zzz: no such field; there are mask")


@pytest.mark.parametrize(
    ("sections", "line"),
    [
        (stage(steps="many"), "retriever.stages.refine.steps: write a whole number from 1, not 'many'"),
        (stage(steps=0), "retriever.stages.refine.steps: write a whole number from 1, not 0"),
        (stage(warmup=1), "retriever.stages.refine.warmup: write a number from 0 below 1, not 1"),
        (
            stage(lora={"targets": 3}),
            "retriever.stages.refine.lora.targets: write a list of text, or all-linear, not 3",
        ),
        (
            stage(soup={"of": ["base"]}),
            "retriever.stages.refine.soup.of: too few entries in ['base']; write at least 2",
        ),
        (stage(lora={"rank": None}), "retriever.stages.refine.lora.rank: write a whole number from 1, not nothing"),
        ({"grid": 3}, "grid: write a section, `field: value` lines indented below it, not 3"),
        ({"reranker": None}, "reranker: write a section, `field: value` lines indented below it, not nothing"),
        ({"grid": {"depths": 20}}, "grid.depths: write a list of whole numbers, not 20"),
        ({"retriever": {"base": None}}, "retriever.base: write text, not nothing"),
        ({"applications": {"a": {"corpus": "law"}}}, "applications.a.source: missing; write text"),
        ({"corpora": {"law": {"source": "x"}, False: {"source": "x"}}}, "corpora: YAML reads a name here as False"),
        ({"resources": {"train": {"workers": "two"}}}, "resources.train.workers: write a whole number, or a list of 2"),
        (
            {"teachers": {"a": {"stages": {"b": {}}}}},
            "teachers.a.stages: too many entries in {'b': {}}; write at most 0",
        ),
    ],
)
def test_a_wrong_value_is_shown_with_what_to_write_instead(sections: Raw, line: str) -> None:
    assert_refused(sections, f"  {line}")


@pytest.mark.parametrize(
    ("sections", "meant"),
    [
        (stage(precision="bf16"), "bfloat16"),
        (stage(samples={"titel": 1}), "title"),
        (stage(mine={"miners": ["bm52"]}), "bm25"),
        (stage(**{"from": "refin"}), "refine"),
        ({"corpora": {"law": {"source": "x", "language": "englisch"}}}, "english"),
        ({"corpora": {"laws": {"source": "x"}}}, "laws"),
        ({"grid": {"fusions": {"all": {"of": ["base", "bm52"]}}}}, "bm25"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest_one(sections: Raw, meant: str) -> None:
    assert_refused(sections, f"did you mean {meant}?")


def test_a_field_of_two_types_is_refused_once() -> None:
    with pytest.raises(PlanError, match="has 3 problems"):  # a corpus, an application, and the field
        parse_plan({"name": "t", "resources": {"train": {"workers": "two"}}})
