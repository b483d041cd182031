"""The front-end study: one backbone under each feeding, on the fly and from stored features."""

FILE = "frontends.json"
"""What ``bench frontends`` writes."""
