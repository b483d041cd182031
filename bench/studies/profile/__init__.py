"""One model over batch sizes: speed, memory, saturation, traces."""
