"""From a selection to finished records: runner, supervision, worker, launchers, observers."""
