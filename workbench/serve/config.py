"""Settings of `wb serve`."""

from pydantic import Field

from workbench.config import Strict


class ServeConfig(Strict):
    """Settings of `wb serve`."""

    host: str = "127.0.0.1"
    """Address to listen on. Without a key, whoever reaches the port on another address than this machine's own may ask."""
    port: int = Field(default=9090, ge=0, le=65535)
    """Port to listen on; 0 takes a free one, which is printed."""
    key_env: str = "WB_SERVE_KEY"
    """Environment variable with the key that requests must carry (`Authorization: Bearer KEY`); no key where it is not set."""
    allowed_hosts: tuple[str, ...] = ()
    """Further names that this machine may be called by in requests, as behind a proxy; `*` for any. Asked only on 127.0.0.1
    without a key, where it keeps web pages of others from reading answers (DNS rebinding)."""
    max_body_mb: float = Field(default=64, gt=0)
    """Largest request body, in megabytes (10^6 bytes); a larger one is answered with 413."""
    max_texts: int = Field(default=1000, ge=1)
    """Most texts in one request."""
    max_chars: int = Field(default=50_000, ge=1)
    """Longest text, in characters."""
    max_batch: int = Field(default=32, ge=1)
    """Most texts that the model computes at a time. Half as many as there are clients keeps it at work: while one half waits
    for its batch, the other sends the next."""
    max_wait_ms: float = Field(default=4, ge=0)
    """How long the first of a batch waits for others, in milliseconds."""
    max_queue: int = Field(default=4096, ge=1)
    """Texts that may wait; more are answered with 503 and the time after which to try again."""
    top: int = Field(default=3, ge=1)
    """Classes in an answer, where the request does not say."""
    examples: int = Field(default=5, ge=0)
    """Nearest training rows that the page shows beside an answer; 0: none, and rows are not given out at all."""
    poll_seconds: float = Field(default=1.0, gt=0)
    """How often a server that follows the promoted model looks whether there is a new one."""
    max_tokens: int = Field(default=1024, ge=1)
    """Longest answer of a language model, in tokens."""
