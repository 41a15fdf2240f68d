"""From a request to an answer: routing, search, trials, calls of components."""
