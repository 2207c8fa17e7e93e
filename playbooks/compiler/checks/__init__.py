"""Checks of a document that need more than its form; each file reports one kind of problem."""
