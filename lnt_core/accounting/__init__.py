"""Costs of a strategy: parameters, memory and FLOPs, predicted and measured."""
