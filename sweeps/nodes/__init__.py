"""What each node of a cluster has, judged against what a sweep needs, before anything starts.

Public interface: `facts.gather`, `facts.Asked`, `needs.Needs`, `needs.needs_of`, `judge.Node`,
`judge.problems`, `judge.warnings`.
"""
