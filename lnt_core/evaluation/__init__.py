"""What a model scores: its answers to the questions of tasks, or its loss on held-out data."""
