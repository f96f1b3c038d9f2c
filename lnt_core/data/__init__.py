"""Training and selection data: readers, checks, tokenization, drawn scenes."""
