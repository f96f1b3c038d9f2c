"""Building a vision-language model, and the roles of its parts."""
