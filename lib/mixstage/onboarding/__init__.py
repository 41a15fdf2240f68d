"""The first plan of a user's own data: looks at a folder and at this machine, and writes what fits both."""
