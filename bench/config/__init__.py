"""What the user asks for: selection, settings, recipes."""
