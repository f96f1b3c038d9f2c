"""Takes a winner home: weights, `best.yaml`, other trainers' files; trains it again.

Public face: `write.export`, `best.load_best`, `retrain.train_best`, `mlflow_model.make_model`.
"""
