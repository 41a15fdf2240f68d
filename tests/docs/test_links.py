"""Links, pictures and paths in README and docs/ lead somewhere."""

import re
import tomllib
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, anchors, inline_code, links, slug

_ABROAD = re.compile(r"^[a-z]+:")  # https:, mailto:
_PATH = re.compile(r"^(?:docs|jobs|lib|serve|tests|benchmarks|examples|\.ci)/[\w./-]*$|^[\w.-]+\.(?:md|cff|toml)$")
_EXTRA = re.compile(r"mixstage\[([\w,]+)\]")


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def test_slugs_are_those_of_the_site() -> None:
    assert slug("SHIP, KEEP, INCONCLUSIVE") == "ship-keep-inconclusive"
    assert slug("`corpora.NAME`") == "corporaname"
    assert slug("POST /v1/search") == "post-v1search"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_to_files_and_headings_that_exist(page: Path) -> None:
    broken = [target for target in links(page) if not _ABROAD.match(target) and not leads_somewhere(page, target)]
    assert not broken, f"{name(page)}: {broken}"


def leads_somewhere(page: Path, target: str) -> bool:
    path, _, anchor = target.partition("#")
    file = (page.parent / path).resolve() if path else page
    return file.exists() and (not anchor or anchor in anchors(file))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_paths_that_are_named_exist(page: Path) -> None:
    paths = [code for code in inline_code(page) if _PATH.match(code) and code.upper() != code]
    missing = [path for path in paths if not (ROOT / path).exists()]
    assert not missing, f"{name(page)}: {missing}"


def test_pages_of_the_site_are_linked_from_its_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    lost = [name(page) for page in PAGES if page.is_relative_to(ROOT / "docs") and page.name not in navigation]
    assert not lost


def test_extras_that_are_named_can_be_installed() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = {extra for page in PAGES for group in _EXTRA.findall(page.read_text("utf-8")) for extra in group.split(",")}
    assert named <= extras.keys()


def test_the_tree_in_readme_has_every_room_and_no_other() -> None:
    tree = re.search(r"^lib/mixstage/.*?^tests/", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert tree is not None
    named = set(re.findall(r"^  (\w+)/ ", tree[0], re.MULTILINE))
    files = (ROOT / "lib" / "mixstage").glob("*/*")
    assert named == {file.parent.name for file in files if file.suffix in (".py", ".yaml")}
