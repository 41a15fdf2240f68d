"""Phase 2: embeddings and index generations, one per corpus and retriever stage; search over them."""
