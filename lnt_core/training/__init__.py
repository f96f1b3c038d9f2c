"""Stage 1 (align) and stage 2 (tune): one small loop for both."""
