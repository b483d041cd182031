"""The model families that come with bench: one folder a family, each a plugin of its own."""
