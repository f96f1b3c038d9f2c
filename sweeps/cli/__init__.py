"""The `lnt` command line: parses arguments, calls the other packages, prints the outcome.

Public interface: `main.main`.
"""
