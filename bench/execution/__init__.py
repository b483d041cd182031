"""One cell from start to record: inputs, training, evaluation, profiling."""
