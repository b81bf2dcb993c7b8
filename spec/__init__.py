"""The book: a chapter is a Markdown file here, and its clauses are what an implementation is held to."""
