"""One trial of tuning a vision-language model, as a library: no Ray, no MLflow."""

__version__ = "0.1.0"
