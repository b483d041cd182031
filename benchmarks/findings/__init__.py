"""Faults of the five source documents and of common practice, each with a number that this code measures.

``python benchmarks/findings NAME`` prints one finding, ``--check`` compares all with
``results/published/findings.json``, ``--write`` replaces that file; ``docs/findings.md`` is made of it.
"""
