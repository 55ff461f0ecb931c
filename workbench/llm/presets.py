"""What is known of often-used endpoints. A price stands here only where the provider publishes it; any field overrides."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal

PresetName = Literal["zhipu", "vllm", "openai"]

PRESETS: Mapping[str, Mapping[str, Any]] = {
    # docs.bigmodel.cn; the variable is the one of Zhipu's own SDK.
    "zhipu": {
        "base_url": "https://open.bigmodel.cn/api/paas/v4",
        "model": "glm-4-plus",
        "key_env": "ZHIPUAI_API_KEY",
        "currency": "CNY",
    },
    # docs.vllm.ai: the port of `vllm serve`, and the variable of its --api-key, which it does not need.
    "vllm": {"base_url": "http://localhost:8000/v1", "key_env": "VLLM_API_KEY"},
    "openai": {"base_url": "https://api.openai.com/v1", "key_env": "OPENAI_API_KEY", "currency": "USD"},
}

# CNY for a million tokens, in and out (docs.bigmodel.cn).
PRICES: Mapping[tuple[str, str], tuple[Decimal, Decimal]] = {
    ("zhipu", "glm-4-plus"): (Decimal(5), Decimal(5)),
    ("zhipu", "glm-4-flash"): (Decimal(0), Decimal(0)),
}


def filled(values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an endpoint with those that its preset knows; what is given comes first."""
    name = str(values.get("preset"))
    found = {**PRESETS.get(name, {}), **values}
    prices = PRICES.get((name, str(found.get("model"))))
    if prices and not {"price_in", "price_out"} & set(values) and found["base_url"] == PRESETS[name]["base_url"]:
        found |= {"price_in": prices[0], "price_out": prices[1]}
    return found


def asks_for_key(preset: PresetName | None, base_url: str) -> bool:
    """Whether this is a preset's own address and its provider answers nobody without a key."""
    return preset in ("zhipu", "openai") and base_url == PRESETS[preset]["base_url"]
