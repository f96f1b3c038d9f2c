"""Vision-language models: loading, the roles of their parts, features, plain checkpoints."""
