"""Phase 2, second half: index generations built from embeddings, and search over them."""
