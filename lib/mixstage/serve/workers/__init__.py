"""What runs inside a component's replica: batches, embeddings, shards."""
