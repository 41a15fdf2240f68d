"""Plans: every problem at once, each with its path; overrides, environment, and what a valid plan holds."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from mixstage.errors import InputError, PlanError
from mixstage.measures.measures import parse_measure
from mixstage.plan.checks import RESERVED
from mixstage.plan.load import load_plan, parse_plan
from mixstage.plan.schema import Plan

Raw = dict[str, Any]


def minimal(**sections: Any) -> Raw:
    return {
        "name": "t",
        "corpora": {"law": {"source": "sample://statutes"}},
        "applications": {"counsel": {"corpus": "law", "source": "sample://counsel"}},
        **sections,
    }


def refusal(raw: Raw) -> list[str]:
    """The problems that refuse a plan, without the head, and without the texts of fields, which are indented more."""
    with pytest.raises(PlanError) as caught:
        parse_plan(raw)
    head, *rest = str(caught.value).splitlines()
    lines = [line for line in rest if not line.startswith("   ")]
    assert head == f"plan has {len(lines)} problem{'s' * (len(lines) > 1)}:"
    return [line.strip() for line in lines]


def test_a_minimal_plan_gets_the_documented_defaults() -> None:
    plan = parse_plan(minimal())
    assert plan.applications["counsel"].metric == "nDCG@10"
    assert plan.grid.depths == (20, 60, 100)
    assert plan.corpora["law"].shard_kib == 1024
    assert plan.retriever.stages == {}


def test_every_problem_of_a_plan_is_reported_at_once_with_its_path() -> None:
    raw = minimal(
        retriever={
            "stages": {
                "broad": {"steps": "many"},
                "sharp": {"from": "braod"},
                "one": {"from": "two"},
                "two": {"from": "one"},
                "bm25": {},
            }
        },
        reranker={"layres": 2},
        grid={"ranking_depth": 50, "depths": [20, 60], "mix": [0.5, 1.5]},
        replica=2,
    )
    raw["applications"]["counsel"]["corpus"] = "lwa"
    lines = refusal(raw)
    expected = [
        "retriever.stages.broad.steps: write a whole number from 1, not 'many'",
        "reranker.layres: no such field; did you mean reranker.layers?",
        "replica: no such field; there are name, store, seed, corpora",
        "applications.counsel.corpus: no corpus 'lwa'; there are law; did you mean law?",
        "retriever.stages.sharp.from: no stage 'braod'; there are base, broad, sharp, one, two, bm25; did you mean"
        " broad?",
        "retriever.stages.one.from: the stage descends from itself",
        "retriever.stages.two.from: the stage descends from itself",
        "retriever.stages.bm25: not a stage name",
        "grid.depths.1: 60 is outside 1..50",
        "grid.mix.1: 1.5 is not a weight between 0 and 1",
    ]
    for start in expected:
        assert [line for line in lines if line.startswith(start)], (start, lines)
    assert len(lines) == len(expected)


def test_a_value_is_shown_with_the_problem_and_cut_when_it_is_long() -> None:
    (line,) = refusal(minimal(seed="x" * 500))
    assert line.startswith("seed: ")
    assert line.endswith("...") and len(line) < 160


@pytest.mark.parametrize("name", sorted(RESERVED))
@pytest.mark.parametrize("component", ["retriever", "reranker"])
def test_names_with_a_meaning_of_their_own_name_no_stage(component: str, name: str) -> None:
    lines = refusal(minimal(**{component: {"stages": {name: {"mine": {"miners": ["bm25"]}}}}}))
    assert any(line.startswith(f"{component}.stages.{name}: not a stage name") for line in lines), lines


@pytest.mark.parametrize("name", ["", "-x", "a b", "a/b", "a@b", "ü", "a*"])
def test_names_that_could_not_be_folders_or_labels_are_refused(name: str) -> None:
    raw = minimal(retriever={"stages": {name: {}}})
    raw["corpora"][name] = {"source": "sample://statutes"}
    raw["applications"][name] = raw["applications"]["counsel"]
    at = sorted(line.partition(": ")[0] for line in refusal(raw))
    assert at == sorted([f"applications.{name}", f"corpora.{name}", f"retriever.stages.{name}"])


@pytest.mark.parametrize("section", ["corpora", "applications", "retriever.stages"])
def test_a_name_with_a_newline_at_its_end_is_refused(section: str) -> None:
    raw = minimal(retriever={"stages": {"broad": {}}})
    node = raw
    for key in section.split("."):
        node = node[key]
    node["law\n"] = next(iter(node.values()))
    with pytest.raises(PlanError, match="name"):
        parse_plan(raw)


def test_a_cycle_of_three_is_reported_at_each_of_its_stages_and_not_beyond() -> None:
    stages = {"a": {"from": "c"}, "b": {"from": "a"}, "c": {"from": "b"}, "free": {}}
    lines = refusal(minimal(retriever={"stages": stages}))
    assert [line.partition(": ")[0] for line in lines] == [f"retriever.stages.{name}.from" for name in "abc"]


@pytest.mark.parametrize("parent", [["base"], {"x": 1}, 7])
def test_a_parent_of_the_wrong_type_is_a_problem_not_a_crash(parent: Any) -> None:
    lines = refusal(minimal(retriever={"stages": {"broad": {"from": parent}}}))
    assert any(line.startswith("retriever.stages.broad.from") for line in lines), lines


@pytest.mark.parametrize("broken", [[], "x", 3, None])
@pytest.mark.parametrize("section", ["corpora", "applications", "retriever", "reranker", "grid", "selection"])
def test_a_section_of_the_wrong_shape_is_a_problem_not_a_crash(section: str, broken: Any) -> None:
    assert any(line.startswith(section) for line in refusal(minimal(**{section: broken})))


@pytest.mark.parametrize(
    ("component", "stage", "at"),
    [
        ("reranker", {}, "mine"),  # a reranker cannot learn without negatives
        ("reranker", {"mine": {}}, "mine.miners"),  # "current" is a reranker here: it brings no candidates
        ("reranker", {"mine": {"miners": ["bm52"]}}, "mine.miners"),
        ("reranker", {"mine": {"miners": ["bm25"], "refresh": True}}, "mine.refresh"),
        ("reranker", {"mine": {"miners": ["bm25"]}, "loss": "infonce"}, "loss"),
        ("reranker", {"mine": {"miners": ["bm25"]}, "loss": {"name": "infonce"}}, "loss.name"),
        ("reranker", {"mine": {"miners": ["bm25"]}, "loss": {"matryoshka": [64, 32]}}, "loss.matryoshka"),
        ("reranker", {"mine": {"miners": ["bm25"]}, "loss": {"name": "margin_mse"}}, "loss.teacher"),
        ("retriever", {"loss": {"name": "bce"}}, "loss.name"),
        ("retriever", {"mine": {}, "loss": {"name": "kl", "teacher": "reranker:gone"}}, "loss.teacher"),
        ("retriever", {"mine": {}, "loss": {"name": "kl", "teacher": "retriever:base"}}, "loss.teacher"),
        ("retriever", {"loss": {"name": "kl", "teacher": "reranker:base"}}, "mine"),
        ("retriever", {"mine": {}, "loss": {"name": "kl", "teacher": "reranker:base", "cached": 8}}, "loss.cached"),
        ("retriever", {"loss": {"guide": "reranker:base"}}, "loss.guide"),
        ("retriever", {"mine": {}, "samples": {"title": 1}}, "mine"),
        ("retriever", {"samples": {"mined": 1}}, "samples.mined"),
        ("retriever", {"mine": {"asynchronous": True}}, "mine.asynchronous"),
        ("retriever", {"mine": {"filter_by": "reranker:gone"}}, "mine.filter_by"),
        ("retriever", {"mine": {"refresh": True}, "validation": {"every": 5}}, "validation"),
        ("retriever", {"soup": {"of": ["base", "gone"]}}, "soup.of.1"),
        ("retriever", {"soup": {"of": ["base", "base"]}, "samples": {"judged": 1}}, "samples"),
        ("retriever", {"soup": {"of": ["base", "base"]}, "from": "base"}, "from"),
        ("retriever", {"mlm": {}, "mine": {}}, "mine"),
        ("retriever", {"samples": {"pseudo": 1}, "pseudo": {"retrievers": ["gone", "bm25"]}}, "pseudo.retrievers.0"),
        ("retriever", {"samples": {"pseudo": 1}, "pseudo": {"retrievers": ["bm25", "bm25"]}}, "pseudo.retrievers"),
        ("reranker", {"samples": {"pseudo": 1}, "mine": {"miners": ["bm25"]}}, "pseudo.retrievers.0"),
        ("retriever", {"mine": {"scored_by": "current"}}, "mine.scored_by"),
        ("retriever", {"mine": {"miners": ["bm25"], "refresh": True}}, "mine.refresh"),
        ("retriever", {"samples": {"titles": 1.0}}, "samples.titles"),
    ],
)
def test_a_stage_that_contradicts_itself_is_refused_at_the_field(component: str, stage: Raw, at: str) -> None:
    lines = refusal(minimal(**{component: {"stages": {"s": stage}}}))
    assert [line.partition(": ")[0] for line in lines if line.startswith(f"{component}.stages.s.{at}")], lines


def test_stages_of_both_components_that_wait_for_each_other_are_refused() -> None:
    (line,) = refusal(
        minimal(
            retriever={"stages": {"one": {"mine": {"filter_by": "reranker:two"}}, "free": {}}},
            reranker={"stages": {"two": {"mine": {"miners": ["one"]}}}},
        )
    )
    assert line.startswith("retriever.stages.one, reranker.stages.two: each needs another of these")


def test_a_bare_incumbent_may_stand_at_the_ranking_depth() -> None:
    grid = {"depths": [5], "ranking_depth": 50}
    selection = {"incumbent": "retriever:base@50 > none@10"}
    assert parse_plan(minimal(grid=grid, selection=selection)).selection.incumbent == "retriever:base@50 > none@10"
    (line,) = refusal(minimal(grid=grid, selection={"incumbent": "retriever:base@50 > reranker:base@10"}))
    assert line.startswith("selection.incumbent: depth 50")


def test_best_and_last_checkpoint_are_two_candidates_by_name() -> None:
    stages = {"broad": {"validation": {"every": 5, "keep": "both"}}}
    incumbent = {"incumbent": "retriever:broad-last@20 > none@10"}
    assert parse_plan(minimal(retriever={"stages": stages}, selection=incumbent)).selection.incumbent
    (line,) = refusal(minimal(retriever={"stages": {**stages, "broad-last": {}}}))
    assert line.startswith("retriever.stages.broad.validation.keep")


@pytest.mark.parametrize(
    ("fusions", "at"),
    [
        ({"all": {"of": ["base"]}}, "grid.fusions.all.of"),
        ({"all": {"of": ["base", "gone"]}}, "grid.fusions.all.of.1"),
        ({"bm25": {"of": ["base", "bm25"]}}, "grid.fusions.bm25"),
        ({"all": {"of": ["base", "bm25"], "weights": [1, 2]}}, "grid.fusions.all.weights"),
        ({"all": {"of": ["base", "bm25"], "method": "weighted"}}, "grid.fusions.all.weights"),
        ({"all": {"of": ["base", "bm25"], "method": "weighted", "weights": [1, 2, 3]}}, "grid.fusions.all.weights"),
        ({"all": {"of": ["base", "bm25"], "method": "weighted", "weights": [1, 0]}}, "grid.fusions.all.weights.1"),
    ],
)
def test_a_fusion_of_nothing_is_refused(fusions: Raw, at: str) -> None:
    assert [line for line in refusal(minimal(grid={"fusions": fusions})) if line.startswith(f"{at}: ")]


@pytest.mark.parametrize(
    ("index", "problem"),
    [
        ({"batch_tokens": 100}, "index.batch_tokens: 100 is below retriever.max_length 128"),
        ({"factory": "BFlat"}, "index.rescore: BFlat compares sign bits"),
    ],
)
def test_an_index_that_contradicts_itself_is_refused_at_the_field(index: Raw, problem: str) -> None:
    (line,) = refusal(minimal(retriever={"max_length": 128}, index=index))
    assert line.startswith(problem)
    sound = {"batch_tokens": 128, "factory": "BFlat", "rescore": 4}
    assert parse_plan(minimal(retriever={"max_length": 128}, index=sound)).index.rescore == 4


def test_a_reranker_may_start_from_a_retriever_stage_that_does_not_wait_for_it() -> None:
    retriever = {"stages": {"broad": {}}}
    assert parse_plan(minimal(retriever=retriever, reranker={"base": "retriever:broad"})).reranker.base
    (line,) = refusal(minimal(retriever=retriever, reranker={"base": "retriever:gone"}))
    assert line.startswith("reranker.base: no retriever stage 'retriever:gone'; there are broad")
    waiting = {"stages": {"broad": {"mine": {"filter_by": "reranker:base"}}}}
    (line,) = refusal(minimal(retriever=waiting, reranker={"base": "retriever:broad"}))
    assert "each needs another" in line


@pytest.mark.parametrize("samples", [{}, {"judged": 0}, {"judged": -1}, {"judged": 1, "title": 0}])
def test_shares_of_samples_that_draw_nothing_are_refused(samples: dict[str, float]) -> None:
    lines = refusal(minimal(retriever={"stages": {"s": {"samples": samples}}}))
    assert any(line.startswith("retriever.stages.s.samples") for line in lines), lines


def test_a_reranker_may_mine_with_a_retriever_stage_and_score_with_itself() -> None:
    mine = {"miners": ["broad"], "scored_by": "current", "refresh": True}
    plan = parse_plan(minimal(retriever={"stages": {"broad": {}}}, reranker={"stages": {"refine": {"mine": mine}}}))
    stage = plan.reranker.stages["refine"]
    assert stage.mine is not None and stage.mine.miners == ("broad",)
    assert (stage.from_, stage.mine.refresh) == ("base", True)


@pytest.mark.parametrize(
    ("incumbent", "problem"),
    [
        ("retriever:base@20 > reranker:gone@10", "no reranker 'gone'; there are base, none"),
        ("retriever:gone@20 > none@10", "no retriever 'gone'; there are base, bm25"),
        ("retriever:base@21 > none@10", "depth 21 is not in grid.depths [20, 60, 100]"),
        ("retriever:base@30 > reranker:base@10", "depth 30 is not in grid.depths [20, 60, 100]"),
        ("base + none", "'base + none' names no composition"),
    ],
)
def test_an_incumbent_that_the_grid_does_not_hold_is_refused(incumbent: str, problem: str) -> None:
    (line,) = refusal(minimal(selection={"incumbent": incumbent}))
    assert line.startswith(f"selection.incumbent: {problem}")


def test_an_unset_variable_is_reported_with_its_path_and_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MIXSTAGE_TEST_ROOT", raising=False)
    raw = minimal(store="${MIXSTAGE_TEST_ROOT}/store")
    raw["corpora"]["law"]["source"] = "${MIXSTAGE_TEST_ROOT}"
    lines = refusal(raw)
    assert [line.partition(": ")[0] for line in lines] == ["corpora.law.source", "store"]
    assert "export MIXSTAGE_TEST_ROOT=..., or write ${MIXSTAGE_TEST_ROOT:-default}" in lines[1]


def test_variables_and_their_defaults_are_put_into_strings_wherever_they_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIXSTAGE_TEST_SET", "/data")
    monkeypatch.setenv("MIXSTAGE_TEST_EMPTY", "")
    monkeypatch.delenv("MIXSTAGE_TEST_ROOT", raising=False)
    raw = minimal(
        store="${MIXSTAGE_TEST_ROOT:-s3://bucket}/x",
        retriever={"base": "${MIXSTAGE_TEST_SET:-unused}/m", "query_prompt": "${MIXSTAGE_TEST_ROOT:-}q: "},
        grid={"measures": ["${MIXSTAGE_TEST_ROOT:-R@5}"]},
        reranker={"base": "a${MIXSTAGE_TEST_EMPTY:-unused}b"},
    )
    plan = parse_plan(raw)
    assert plan.store == "s3://bucket/x"
    assert (plan.retriever.base, plan.retriever.query_prompt) == ("/data/m", "q: ")
    assert plan.grid.measures == ("R@5",)
    assert plan.reranker.base == "ab"


@pytest.fixture
def plan_file(tmp_path: Path) -> Path:
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump(minimal(retriever={"stages": {"broad": {"steps": 100}}})))
    return path


def test_overrides_replace_fields_with_yaml_values_and_open_sections_that_are_not_there(plan_file: Path) -> None:
    plan = load_plan(
        plan_file,
        ["retriever.stages.broad.steps=10", "grid.depths=[5, 7]", "grid.bm25=false", "store=/tmp/a=b", "seed=3"],
    )
    assert plan.retriever.stages["broad"].steps == 10
    assert (plan.grid.depths, plan.grid.bm25) == ((5, 7), False)
    assert (plan.store, plan.seed) == ("/tmp/a=b", 3)


@pytest.mark.parametrize("override", ["seed", "=3", "name.x=1", "seed=[1"])
def test_an_override_that_says_nothing_is_refused_with_its_text(plan_file: Path, override: str) -> None:
    with pytest.raises(PlanError, match="--set") as caught:
        load_plan(plan_file, [override])
    assert repr(override) in str(caught.value)


def test_a_misspelt_override_is_an_unknown_key_and_the_file_is_named(plan_file: Path) -> None:
    with pytest.raises(PlanError) as caught:
        load_plan(plan_file, ["retriever.stages.broad.stepps=10"])
    assert str(caught.value).startswith(
        f"{plan_file} with --set retriever.stages.broad.stepps=10 has 1 problem:\n"
        "  retriever.stages.broad.stepps: no such field; did you"
    )


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"a: [1", "not readable YAML"),
        (b"\xff\xfe\x00", "not readable YAML"),
        (b"- 1", "holds a list"),
        (b"", "NoneType"),
        (b"name: a\n\tseed: 1", r"line 2, column 1: .*; indent with spaces"),
        (b"name:a\nstore: b", r"line 2, column 6: .*; a value that holds ': ' stands in quotes"),
        (b"name: 'a\n", r"unexpected end of stream.*; a quote or a bracket before it is not closed"),
        (b"seed: 1\nname: a\nseed: 2", r"line 3, column 1: 'seed' stands here for the second time"),
    ],
)
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "plan.yaml"
    path.write_bytes(content)
    with pytest.raises(PlanError, match=problem):
        load_plan(path)


def test_a_missing_file_is_refused_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"no plan at .*gone\.yaml"):
        load_plan(tmp_path / "gone.yaml")


def test_a_plan_is_frozen_through_all_its_sections() -> None:
    plan = parse_plan(minimal())
    with pytest.raises(ValidationError, match="frozen"):
        plan.seed = 1  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        plan.grid.k = 1  # type: ignore[misc]


def test_a_plan_survives_the_round_trip_through_plain_data() -> None:
    raw = minimal(retriever={"stages": {"broad": {}, "sharp": {"from": "broad", "mine": {"margin": 0.9}}}})
    plan = parse_plan(raw)
    assert Plan.model_validate(plan.model_dump(by_alias=True)) == plan
    assert plan.retriever.stages["sharp"].from_ == "broad"


NAMES = (
    *(
        "nDCG@10",
        "nDCG@1",
        "nDCGexp@5",
        "RR@10",
        "MRR@10",
        "AP@3",
        "P@5",
        "R@20",
        "Recall@20",
        "Success@1",
        "Judged@10",
    ),
    *("RR", "MRR", "AP", "Rprec", "Bpref", "nDCG", "nDCGexp", "P", "R", "Recall", "Success", "Judged"),
    *("nDCG@0", "nDCG@-1", "nDCG@010", "nDCG@1.5", "nDCG@", "RR@0", "Rprec@5", "Bpref@5", "ndcg@10", "NDCG@10", "rr"),
    *(
        "MAP",
        "MAP@10",
        "ERR@10",
        "R@5 ",
        " R@5",
        "R@5\n",
        "R@٣",
        "R@1٣",
        "R@999999999",
        "R@1000000000",
        "",
        "@10",
        "R@@5",
    ),
)


def _parses(name: str) -> bool:
    try:
        parse_measure(name)
    except InputError:
        return False
    return True


def _plans(name: str) -> bool:
    try:
        parse_plan(minimal(grid={"measures": [name]}))
    except PlanError:
        return False
    return True


@pytest.mark.parametrize("name", NAMES)
def test_a_plan_accepts_exactly_the_measure_names_that_the_evaluation_parses(name: str) -> None:
    assert _plans(name) == (_parses(name) and name == name.strip())
