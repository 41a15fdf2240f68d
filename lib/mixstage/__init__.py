"""mixstage: staged retrievers and rerankers, every combination evaluated, the winner released, on Ray."""

__version__ = "0.1.0"
