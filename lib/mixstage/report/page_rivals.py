"""The page's part on the winner against its rivals: forest plots, and the numbers."""

from collections.abc import Mapping
from html import escape
from typing import Any

from mixstage.report.chart_forest import forests
from mixstage.report.charts import figure, interval, signed
from mixstage.report.page_table import table


def rivals_part(report: Mapping[str, Any]) -> str:
    confirmation, limit = report["confirmation"], report["plan"]["selection"]["max_regression"]
    figures = [
        figure(spec, f"winner minus {role}", confirmation["test"][role]["composition"], _numbers(confirmation, role))
        for role, spec in forests(confirmation, limit).items()
    ]
    same = [role for role, found in confirmation["test"].items() if found["overall"] is None]
    told = f"<p class=soft>The winner is also: {escape(', '.join(same))}.</p>" if same else ""
    return (
        "<p>Paired bootstrap intervals of the difference, right of 0 where the winner is better. Dev chose, so its "
        f"intervals flatter the winner; test did not. Dashed: the {limit:g} points that no application may lose.</p>"
        f"{told}<div class='charts two'>{''.join(figures)}</div>"
    )


def _numbers(confirmation: Mapping[str, Mapping[str, Any]], role: str) -> str:
    rows = [
        (
            *(split, name, signed(one["mean"]), interval(one)),
            f"{one['wins']} : {one['losses']} of {one['queries']}",
            one["verdict"],
        )
        for split in ("test", "dev")
        for name, one in _differences(confirmation[split][role]).items()
    ]
    return table(["split", "application", "difference", "interval", "wins : losses", "verdict"], rows, texts=2)


def _differences(found: Mapping[str, Any]) -> dict[str, Any]:
    return {"all": found["overall"], **found["applications"]}
