from workbench.flow.models.model import Model as Model
from workbench.flow.models.model import load_model as load_model

__version__: str
