"""Exports a winner (weights, `best.yaml`, files for other trainers), and trains it again.

Public interface: `write.export`, `best.load_best`, `retrain.train_best`, `mlflow_model.make_model`.
"""
