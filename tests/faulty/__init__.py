"""Planted faults: one module for each operation, one function for each fault, named by what it does wrong.

Everything else in a faulty operation is right, so that what a check finds is the fault.
"""
