"""Training: batches, a loop for stage 1 (align) and stage 2 (tune), engines, checkpoints."""
