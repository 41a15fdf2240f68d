"""The table of analyses: each looks at one application and says what it found, for the page and for report.json.

A further one is a function in a file of its own and a row of ANALYSES. One from outside is named by the plan,
`report: {analyses: [PACKAGE.MODULE:NAME]}`, or is an entry point of the group `mixstage.analyses`.
"""

from collections.abc import Mapping
from typing import Final

from mixstage.errors import PlanError
from mixstage.insight.anova import find_sources
from mixstage.insight.finding import Analysis, Finding, Subject
from mixstage.insight.other_candidates import find_additions
from mixstage.plan.schema import Plan
from mixstage.plugins import find

ANALYSES: Final[Mapping[str, Analysis]] = {
    "anova": find_sources,
    "union_bound": find_additions,
}


def find_analyses(plan: Plan) -> dict[str, Analysis]:
    """name -> analysis: all of ANALYSES, then the further ones that the plan names.

    Raises PlanError for a name that nobody provides.
    """
    return {**ANALYSES, **{name: find("analyses", name, ANALYSES) for name in plan.report.analyses}}


def analyse(analyses: Mapping[str, Analysis], subject: Subject) -> dict[str, Finding]:
    """name -> what was found; analyses that found nothing to look at are left out.

    Raises PlanError with the name of one from outside that raises.
    """
    findings = {}
    for name, analysis in analyses.items():
        try:
            finding = analysis(subject)
        except Exception as error:
            if name in ANALYSES:
                raise
            raise PlanError(
                f"report.analyses: {name} failed for {subject.application} ({error!r}); repair it or take it out of "
                "the plan: the phases before it are kept"
            ) from error
        if finding is not None:
            findings[name] = finding
    return findings
