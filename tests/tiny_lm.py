"""A random GLM-4 of 0.2 M parameters with a byte-level tokenizer made on the spot, and its template: what needs no download."""

from pathlib import Path

SPECIAL = ["<|endoftext|>", "[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>"]
# As GLM-4-0414: a turn is ended by what begins the next one; nothing stands behind an answer.
TEMPLATE = (
    "[gMASK]<sop>{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
CORPUS = [
    "对话：意图：编号名称客服请判断用户的",
    "查询余额 办理取消 投诉费用 转人工 你好 谢谢",
    "退订 彩铃 流量 话费 多少钱",
]


def tokenizer(template=TEMPLATE, special=SPECIAL, eos="<|endoftext|>"):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE(unk_token=None))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        CORPUS * 3,
        trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False),
    )
    found = PreTrainedTokenizerFast(tokenizer_object=made, eos_token=eos, pad_token="<|endoftext|>")
    found.chat_template = template
    return found


def glm4(folder: Path, hidden=64, layers=2, rows=0):
    """Save model and tokenizer; `rows` spare rows in the embeddings."""
    import torch
    from transformers import GenerationConfig, Glm4Config, Glm4ForCausalLM

    torch.manual_seed(0)
    made = tokenizer()
    ends = made.convert_tokens_to_ids(["<|endoftext|>", "<|user|>", "<|observation|>"])
    config = Glm4Config(
        vocab_size=len(made) + rows, hidden_size=hidden, intermediate_size=2 * hidden, num_hidden_layers=layers,
        num_attention_heads=4, num_key_value_heads=2, head_dim=hidden // 4, max_position_embeddings=512,
        pad_token_id=made.pad_token_id, eos_token_id=ends, partial_rotary_factor=0.5, attention_bias=True, initializer_range=0.2,
    )  # fmt: skip
    model = Glm4ForCausalLM(config)
    model.generation_config = GenerationConfig(eos_token_id=ends, pad_token_id=made.pad_token_id)
    model.save_pretrained(folder)
    made.save_pretrained(folder)
    return folder


def intents(n=24, split="train"):
    """Rows of three classes that are easily told apart."""
    from workbench.records import Sample, Turn

    texts = {"查询余额": "话费多少钱", "办理取消": "退订彩铃", "转人工": "转人工谢谢"}
    labels = list(texts)
    return [
        Sample(
            f"{split}{i}",
            (Turn("agent", "你好"), Turn("user", texts[labels[i % 3]] + "啊" * (i % 4))),
            labels[i % 3],
            split,
        )
        for i in range(n)
    ]
