"""The clauses of the book and their properties, read from their sources."""
