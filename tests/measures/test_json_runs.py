"""Runs as JSON: what is read, what is refused and with which words."""

import json
from pathlib import Path

import pytest

from mixstage.errors import InputError
from mixstage.measures.json_runs import open_run, read_json_run, write_predictions

RUN = {"q1": {"é": 0.5, "d": -1.0}, "q2": {}}


def test_predictions_lie_as_mteb_saves_them(tmp_path: Path) -> None:
    path = tmp_path / "predictions.json"
    write_predictions(path, {"dev": {"q": {"é": 0.5}}, "test": {}}, "bm25@20 > none@10", "abc")
    assert json.loads(path.read_text(encoding="utf-8")) == {
        "mteb_model_meta": {"model_name": "bm25@20 > none@10", "revision": "abc"},
        "default": {"dev": {"q": {"é": 0.5}}, "test": {}},
    }
    assert read_json_run(path, "dev") == {"q": {"é": 0.5}} and read_json_run(path, "test") == {}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(RUN),
        "\ufeff\n " + json.dumps(RUN, ensure_ascii=False),
        json.dumps({"mteb_model_meta": {}, "default": {"test": RUN}}),
    ],
)
def test_layouts_are_told_apart(tmp_path: Path, content: str) -> None:
    path = tmp_path / "run"
    path.write_text(content, encoding="utf-8")
    assert open_run(path) == RUN


def test_lines_are_read_as_lines(tmp_path: Path) -> None:
    path = tmp_path / "run.json"  # a name tells nothing
    path.write_text("{q Q0 d 1 0.5 t\n")
    with pytest.raises(InputError, match="is no JSON"):
        open_run(path)
    path.write_text("q{ Q0 d 1 0.5 t\n")
    assert open_run(path) == {"q{": {"d": 0.5}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[", "is no JSON"),
        ("[]", "list where queries were expected"),
        ('{"mteb_model_meta": {}, "en": {}}', "has no split 'test': there are none"),
        ('{"mteb_model_meta": {}}', "has no subset '': there are none"),
        ('{"mteb_model_meta": {}, "en": {}, "de": {}}', "has more than one subset: name one of en, de with --subset"),
        ('{"mteb_model_meta": {}, "en": {"train": {}, "dev": {}}}', "has no split 'test': there are train, dev"),
        ('{"mteb_model_meta": {}, "en": {"test": []}}', "split test: list where queries were expected"),
        ('{"q": 1}', "query q: int where documents were expected"),
        ('{"q": {"d": "1"}}', "query q, document d: score '1' is no number"),
        ('{"q": {"d": true}}', "query q, document d: score True is no number"),
        ('{"q": {"d": NaN}}', "query q, document d: score NaN has no rank"),
        ('{"q": {"d": 1, "e": 2, "d": 3}}', "'d' stands twice in one object"),
        ('{"q": {"d": 1}, "q": {"e": 2}}', "'q' stands twice in one object"),
    ],
)
def test_what_cannot_be_trusted_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "predictions.json"
    path.write_text(content)
    with pytest.raises(InputError) as refusal:
        read_json_run(path, "test")
    assert str(path) in str(refusal.value) and message in str(refusal.value)


def test_a_split_has_to_be_named_where_there_are_several(tmp_path: Path) -> None:
    path = tmp_path / "predictions.json"
    write_predictions(path, {"dev": {}, "test": {}}, "m", "r")
    with pytest.raises(InputError, match="has more than one split: name one of dev, test with --split"):
        open_run(path)


def test_what_cannot_be_written_or_found_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="split test, query q, document d: score NaN"):
        write_predictions(tmp_path / "p.json", {"test": {"q": {"d": float("nan")}}}, "m", "r")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match=r"absent cannot be read \(No such file"):
        open_run(tmp_path / "absent")
