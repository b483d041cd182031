"""Every reader of ``bench`` against damaged files and wild words.

``python benchmarks/fuzz --cases 100000`` prints a table of counts; ``--reader NAME --case N`` shows one case again.
"""
