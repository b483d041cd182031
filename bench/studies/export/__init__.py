"""A fitted cell as a file that others load."""
