"""What a strategy costs: parameters, memory and FLOPs, predicted and measured."""
