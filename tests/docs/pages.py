"""The pages that people read, in parts that tests look at: code blocks, code in lines, links, headings."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+(?:\n[^`\n]+)?)`")
_FILE = re.compile(r"# ([\w/]+\.py)\n")
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A code block and where it stands."""

    page: Path
    line: int  # of its fence, from 1
    language: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path, *languages: str) -> list[Block]:
    """The code blocks of a page in these languages."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(page=page, line=text.count("\n", 0, match.start()) + 1, language=match[1], text=match[2])
        for match in _FENCE.finditer(text)
        if match[1] in languages
    ]


def write_files(page: Path, folder: Path) -> None:
    """The Python files of a page: blocks whose first line is the comment `# PACKAGE/FILE.py`."""
    for block in blocks(page, "python"):
        match = _FILE.match(block.text)
        if match:
            path = folder / match[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")


def prose(page: Path) -> str:
    """A page without its code blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def inline_code(page: Path) -> list[str]:
    """What stands between single backticks, each on one line."""
    return [" ".join(match.split()) for match in _INLINE.findall(prose(page))]


def links(page: Path) -> list[str]:
    """Targets of links and pictures."""
    return _LINK.findall(_INLINE.sub("", prose(page)))


def anchors(page: Path) -> set[str]:
    """What a link may name after `#`: a heading in lower case, without punctuation, hyphens for spaces."""
    return {slug(heading) for heading in _HEADING.findall(prose(page))}


def slug(heading: str) -> str:
    kept = re.sub(r"[^\w\s-]", "", heading.replace("`", "")).strip().lower()
    return re.sub(r"[\s]", "-", kept)
