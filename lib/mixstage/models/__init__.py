"""What is composed: encoders, rerankers and the lexical model; how they are opened, exported, fingerprinted."""
