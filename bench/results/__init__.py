"""What a cell leaves behind: records, their store, predictions, provenance."""
