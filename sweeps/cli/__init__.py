"""The `lnt` command: parse, call, print.

Public face: `main.main`.
"""
