"""The reference: what the book describes, in PyTorch, and nothing that judges.

Each chapter of the book is a module of the same name, with its functions in the order of the clauses. The modules import
only torch, because a judge that shared code with the accused would prove nothing.
"""
