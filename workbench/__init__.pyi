from workbench.flow.model import Model as Model
from workbench.flow.model import load_model as load_model

__version__: str
