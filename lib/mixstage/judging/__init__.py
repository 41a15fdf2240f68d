"""People compare two compositions without knowing which is which: the page that asks them, and what they said."""
