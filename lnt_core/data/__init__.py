"""Training and selection data: readers, checks, tokenization, batches, drawn scenes."""
