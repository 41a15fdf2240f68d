"""Phase 2, second half: index generations made of embeddings, and search over them."""
