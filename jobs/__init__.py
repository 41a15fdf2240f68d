"""One file a job: parse, connect, call the library, print where the result is."""
