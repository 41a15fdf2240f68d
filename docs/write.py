"""Writes the pages that the code itself tells: commands and HTTP.

python -m docs.write           # writes docs/reference/cli.md, http.md and openapi.json
python -m docs.write --check   # says which of them are not as the code is now; status 1 if one is
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from docs import cli, http

FOLDER = Path(__file__).parent / "reference"


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0, or 1 where a check finds other text in a file."""
    check = "--check" in (sys.argv[1:] if arguments is None else arguments)
    stale = {name: text for name, text in pages().items() if not is_written(name, text)}
    for name, text in stale.items():
        if check:
            print(f"docs/reference/{name} is not as the code is now: run make docs")
        else:
            (FOLDER / name).write_text(text, encoding="utf-8")
            print(f"wrote docs/reference/{name}")
    return int(check and bool(stale))


def pages() -> Mapping[str, str]:
    """File -> text."""
    schema = http.describe()
    told = json.dumps(schema, indent=1, ensure_ascii=False) + "\n"
    return {"cli.md": cli.page(), "http.md": http.page(schema), "openapi.json": told}


def is_written(name: str, text: str) -> bool:
    """Whether the file holds exactly this text."""
    file = FOLDER / name
    return file.is_file() and file.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    sys.exit(main())
