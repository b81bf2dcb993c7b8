"""The reference: what the book describes, in PyTorch, and nothing that judges.

A chapter of the book is a module here, under the chapter's name; its functions stand in the order of the clauses.
It may import only torch, because a judge that shared code with the accused would prove nothing.
"""
