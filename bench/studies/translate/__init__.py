"""``bench translate``: the same embeddings by the rules of other harnesses, and what each rule adds or takes."""
