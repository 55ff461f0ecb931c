"""Models behind HTTP: the app takes a `Predictor` and knows neither benches nor runs."""

from workbench.predictor import Predictor
from workbench.serve.backend import label_studio_app
from workbench.serve.config import ServeConfig
from workbench.serve.http import new_app

__all__ = ["Predictor", "ServeConfig", "label_studio_app", "new_app"]
