"""Low-rank adapters on a 4-bit language model."""

from workbench.config import Strict


class QloraConfig(Strict):
    """Settings of `wb train --method qlora`."""
