"""The page's last part: the whole plan, the digests of what was compared, the libraries."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

import yaml

from mixstage.report.page_table import table


def config_part(report: Mapping[str, Any]) -> str:
    plan = yaml.safe_dump(report["plan"], sort_keys=False, allow_unicode=True, width=100)
    libraries = ", ".join(f"{name} {version}" for name, version in report["libraries"].items())
    machine = report["machine"]
    return (
        f"{table(['what', 'which', 'digest'], _digests(report), texts=3)}"
        f"<details><summary>The whole plan, defaults included</summary><pre>{escape(plan)}</pre></details>"
        f"<p class=soft>{escape(libraries)}; {escape(machine['processor'])}, Python {escape(machine['python'])}</p>"
    )


def _digests(report: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for what, digest in report["digests"].items():
        yield "artifact", what, digest
    for component, stages in report["training"].items():
        for name, stage in stages.items():
            yield f"{component} checkpoint", name, stage["checkpoint"]
