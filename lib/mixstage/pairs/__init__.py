"""Pair scores: what a reranker said of a query and a document, scored once and kept."""
