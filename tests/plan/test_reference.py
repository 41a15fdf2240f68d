"""The plan's documentation: every field has its text, and what is generated of the texts is up to date."""

import json
from pathlib import Path

import pytest
import yaml

from mixstage.commands.schema import main
from mixstage.plan.fields import fields_of, help_of, place_of, sections
from mixstage.plan.reference import SCHEMA_FILE

ROOT = Path(__file__).resolve().parents[2]


def test_every_field_of_every_section_is_documented_in_whole_sentences() -> None:
    for path, section in sections():
        assert section.__doc__, section
        for name, field in fields_of(section).items():
            text = help_of(field)
            assert text[:1].isupper() or text[:1] in "`01", (path, name, text)
            assert text.endswith("."), (path, name, text)


def test_the_page_and_the_schema_are_those_that_the_fields_give(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, path in (([], SCHEMA_FILE), (["--markdown"], ROOT / "docs" / "reference" / "plan.md")):
        assert main(arguments) == 0
        printed = capsys.readouterr().out
        assert path.read_text(encoding="utf-8") == printed, (
            f"{path.name} drifted: mixstage schema {' '.join(arguments)} > {path.relative_to(ROOT)}"
        )


def test_the_schema_says_texts_limits_and_that_other_keys_are_wrong() -> None:
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    index = schema["$defs"]["IndexPlan"]
    assert index["additionalProperties"] is False
    assert index["properties"]["floor"]["maximum"] == 1
    assert index["properties"]["keep"]["description"] == "Generations of a corpus and retriever that pruning leaves."
    assert "from" in schema["$defs"]["StagePlan"]["properties"]
    assert schema["required"] == ["name", "corpora", "applications"]


@pytest.mark.parametrize("path", sorted((ROOT / "jobs" / "plans").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_plan_that_ships_names_the_schema_and_writes_only_what_the_schema_knows(path: Path) -> None:
    first, *_ = text = path.read_text(encoding="utf-8").splitlines()
    schema = first.removeprefix("# yaml-language-server: $schema=")
    assert (path.resolve().parent / schema).resolve() == SCHEMA_FILE.resolve()
    assert set(yaml.safe_load("\n".join(text))) <= set(json.loads(SCHEMA_FILE.read_text())["properties"])


def test_a_path_leads_to_the_field_and_to_what_a_value_there_has_to_be() -> None:
    place = place_of(("retriever", "stages", "refine", "samples", "title"))
    assert (place.words, place.model.__name__) == ("a number above 0", "StagePlan")
    assert place_of(("grid", "measures", 0)).words == "text such as nDCG@10, RR@10, R@20 or AP"
    assert place_of(("grid", "nothing", "here")).path == ("grid",)
