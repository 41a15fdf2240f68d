"""Measures a ranking, or two of the same queries, and says how far the second is ahead.

python examples/evaluate_a_run.py QRELS RUN [RUN]
python examples/evaluate_a_run.py                  # the judgements and rankings below

A run is a file of TREC, BEIR or MTEB; values are those of trec_eval.
"""

import sys

import mixstage

MEASURES = ["nDCG@10", "RR@10", "R@10"]

# query -> document -> grade; a query -> documents, best first (or document -> score).
QRELS = {
    "deposit of a tenant": {"s12": 2, "s14": 1},
    "notice to quit": {"s7": 1},
    "broken heating": {"s20": 2, "s21": 1},
    "subletting a room": {"s9": 1},
}
BEFORE = {
    "deposit of a tenant": ["s3", "s12", "s14"],
    "notice to quit": ["s8", "s9", "s7"],
    "broken heating": ["s20", "s3"],
    "subletting a room": ["s2", "s9"],
}
AFTER = {
    "deposit of a tenant": ["s12", "s14", "s3"],
    "notice to quit": ["s7", "s8", "s9"],
    "broken heating": ["s20", "s21"],
    "subletting a room": ["s9", "s2"],
}


def main(qrels: str | None = None, *paths: str) -> None:
    reports = [mixstage.measure(run, qrels or QRELS, MEASURES) for run in paths or (BEFORE, AFTER)]
    for number, report in enumerate(reports, start=1):
        print(f"run {number}:", ", ".join(f"{name} {value:.4f}" for name, value in report["mean"].items()))
    for leads in mixstage.compare(reports):
        for name, lead in leads.items():
            interval = f"[{lead.low:+.4f}, {lead.high:+.4f}]"
            print(f"{name}: {lead.mean:+.4f} {interval}, {lead.wins} won, {lead.losses} lost, p {lead.p:.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
