"""Front ends: waveform ``(batch, samples)`` to log features ``(batch, freq, time)``.

Every front end is an ``nn.Module`` built by ``build(task, **options)``. All take the same spectral options
(:class:`bench.frontends.settings.SpectralSettings`), all floor the power at a fixed value before the logarithm, and
none lets a clip's features depend on its batch mates. Importing this package imports no torch.
"""
