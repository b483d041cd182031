"""The measurement engine: it sees callables, never models.

Light modules import no torch and serve the host process too: readings, memory, machine, noise and NVML. The others
belong to a worker: clocks, latency, throughput, stages, device memory, energy, FLOPs, traces, environment and guards.

Rules that hold everywhere: seconds, MiB and joules inside; time stamps are buffered and nothing is written while
the clock runs; timing and memory are separate passes; an unknown is ``None`` with a reason, never 0.
"""
