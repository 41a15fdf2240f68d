"""The gateway's own HTTP routes and what protects them."""
