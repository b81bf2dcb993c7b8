"""The properties that hold an implementation to the book; a module for each chapter.

They call the implementation under test through the fixture `target` and compare with `calibrant.exact` through
`calibrant.judge` alone.
"""
