"""One file a command: parse, connect, call the library, print where the result is."""
