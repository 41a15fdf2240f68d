"""Phase 2, first half: the vector of every text under every retriever stage."""
