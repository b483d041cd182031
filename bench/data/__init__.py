"""Data: locate or download, decode once per machine, waveform and feature caches, batches, derived views."""
