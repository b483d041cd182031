"""The command line: one file per verb, imported when it is invoked; the only place that prints."""
