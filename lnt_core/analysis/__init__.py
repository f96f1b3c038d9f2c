"""The paper's analyses of a tuned model: similarity of layers, variance of gradients."""
