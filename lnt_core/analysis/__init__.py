"""What a strategy does inside the model: the paper's analyses, of any trial."""
