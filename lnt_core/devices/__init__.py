"""What depends on the device: which one, number formats, determinism, memory, its errors."""
