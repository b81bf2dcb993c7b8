"""The book's clauses and their properties, read from their sources."""
