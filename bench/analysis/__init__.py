"""Records -> comparable results: grouping, rows, board, comparison, ranking claim. Pure, no text."""
