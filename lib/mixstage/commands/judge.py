"""Blind comparison: people say which of two compositions answers better, without knowing which is which.

mixstage judge sample --a 'retriever:robust@20 > none@10' --b 'bm25@20 > none@10' --queries 40
mixstage judge sample --read answers-1a2b3c4d.json

The first makes a page that works without a network: give the judge index.html alone, since key.json beside it says
which side was which. It shows the first --k documents of both for queries whose lists differ, on sides drawn at random;
left and right arrow prefer a side, T says equally good, B both bad, Backspace takes the last answer back. Answers
survive a reload and are saved to a file.

The second counts them: the exact two-sided sign test of the preferences (ties and "both bad" decide nothing), for all
applications together and for each by itself, and, if it is inconclusive, how many questions would show a preference of
that strength with 80 % power. Queries whose lists are the same are ties by construction; they are counted apart.
"""

import argparse
from collections.abc import Sequence

from rich.table import Table

from mixstage.commands.console.arguments import plan_parser
from mixstage.commands.console.session import guarded, read_plan
from mixstage.commands.evaluate import boards_of
from mixstage.composition import Composition
from mixstage.errors import unknown_name
from mixstage.evaluation.rankings import EVALUATED
from mixstage.evaluation.stored_boards import find_compositions
from mixstage.judging.answers import Judged, Tally, read_answers
from mixstage.judging.ask import KEY, PAGE, Page, Request, ask
from mixstage.pipeline import Pipeline
from mixstage.progress import Progress
from mixstage.store.store import Store


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0, or 2 with a message on standard error."""
    options = parser().parse_args(arguments)

    def job() -> None:
        plan = read_plan(options)
        if options.read:
            print_answers(read_answers(Store(plan.store), options.read), plan.selection.confidence, Progress())
            return
        if options.application and options.application not in plan.applications:
            raise unknown_name("application", options.application, plan.applications)
        pipeline = Pipeline.of(plan)
        say_page(pipeline.progress, make_page(pipeline, options))

    return guarded("judge", job, verbose=options.verbose)


def parser() -> argparse.ArgumentParser:
    options = plan_parser("judge", __doc__)
    options.add_argument("--a", metavar="COMPOSITION", help="[the winner]")
    options.add_argument("--b", metavar="COMPOSITION", help="[the incumbent]")
    options.add_argument("--queries", type=int, default=40, metavar="N", help="to show, over all applications [40]")
    options.add_argument("--application", help="queries of one application [all]")
    options.add_argument("--split", choices=EVALUATED, default="dev", help="whose queries [dev]")
    options.add_argument("--k", type=int, default=5, help="documents of a list [5]")
    options.add_argument("--read", metavar="ANSWERS", help="count the answers of a file that the page saved")
    return options


def make_page(pipeline: Pipeline, options: argparse.Namespace) -> Page:
    """The page's artifact; what has to be evaluated before is."""
    a, b = _compared(pipeline, options)
    applications = (options.application,) if options.application else tuple(pipeline.plan.applications)
    request = Request(a=a, b=b, applications=applications, split=options.split, queries=options.queries, k=options.k)
    return ask(pipeline.store, pipeline.grid, boards_of(pipeline, (a, b)), request)


def _compared(pipeline: Pipeline, options: argparse.Namespace) -> list[Composition]:
    names = [
        options.a or str(pipeline.choice.winner),
        options.b or str(pipeline.choice.incumbent),
    ]
    return [find_compositions(pipeline.grid, [name])[0] for name in names]


def say_page(progress: Progress, page: Page) -> None:
    """How many queries are shown, where the page lies, what to do with it."""
    for name, shown in page.shown.items():
        same, queries = page.identical[name], page.queries[name]
        progress.say(f"{name}: {shown} of {queries} queries shown, {same} have the same list twice")
    progress.say(f"Page: {page.path}/{PAGE}  (give it alone: {KEY} beside it says which side was which)")


def print_answers(judged: Judged, confidence: float, progress: Progress) -> None:
    """The table of tallies, the verdict, the sides."""
    progress.say(f"A: {judged.a}\nB: {judged.b}")
    percent = f"{confidence:.0%}"
    table = Table("application", "A", "B", "tie", "both bad", "same list", f"A of decided, {percent} interval", "p")
    for name, tally in judged.tallies.items():
        counts = (tally.a, tally.b, tally.tie, tally.bad, f"{tally.identical} of {tally.queries}")
        table.add_row(name, *map(str, counts), _share(tally, confidence), f"{tally.p:.4f}")
    progress.console.print(table)
    total = judged.total
    if total.answered < judged.asked:
        progress.say(f"{total.answered} of {judged.asked} questions were answered")
    progress.say(verdict(judged, confidence))
    progress.say(f"Left preferred in {judged.left} of {total.decided} (p {judged.side_p:.4f} if sides do not matter)")


def verdict(judged: Judged, confidence: float) -> str:
    """What all answers together show at this confidence."""
    total = judged.total
    if total.p < 1 - confidence:
        return f"Preferred: {judged.a if total.a > total.b else judged.b} (p {total.p:.4f}, exact sign test)"
    needed = total.questions_needed(confidence)
    more = f"; one of this strength takes about {needed:,} questions (80 % power)" if needed else ""
    return f"No preference shown (p {total.p:.4f}, exact sign test){more}"


def _share(tally: Tally, confidence: float) -> str:
    share = tally.share(confidence)
    return "" if share is None else f"{share[0]:.2f} \\[{share[1]:.2f}, {share[2]:.2f}]"
