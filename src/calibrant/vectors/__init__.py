"""Frozen test vectors: cases that anyone can replay without Python, chosen so that they still reject the known wrong answers."""
