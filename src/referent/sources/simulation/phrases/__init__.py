"""Phrases about a simulated picture, one module per family; each is made only when its meaning is certain."""
