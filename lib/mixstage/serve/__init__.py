"""The Ray Serve applications: retriever, reranker and gateway, each its own unit of release."""
