"""Training: batches, one loop for stage 1 (align) and stage 2 (tune), its engines and checkpoints."""
