"""For plugin authors and for the host's own tests: fake plugins and distributions, conformance checks."""
