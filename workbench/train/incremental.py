"""Continue a trained model on new rows."""

from workbench.config import Strict


class IncrementalConfig(Strict):
    """Settings of `wb train --method incremental`."""
