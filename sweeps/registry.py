"""The winners in MLflow's Model Registry: a model per sweep, a version per winner."""

import logging

logger = logging.getLogger(__name__)
