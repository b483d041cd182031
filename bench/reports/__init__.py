"""Records -> board -> files; pure: no torch, no registry, nothing printed."""
