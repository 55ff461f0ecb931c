"""Settings of encoder fine-tuning."""

from workbench.config import Strict


class EncoderTrainConfig(Strict):
    """Settings of `wb train --method encoder`."""
