"""From published files to batches: captions, instructions, label masks, drawn scenes."""
