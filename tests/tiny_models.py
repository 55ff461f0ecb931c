"""Tiny models with random weights, made in a moment: the plumbing of training is real, what they know is nothing."""

CHARACTERS = sorted(set("我想问一下话费流量积分余额套餐宽带还剩多少把业务取消不要了查退订投诉客服0123456789"))


def tiny_bert(folder, *, layers=2, length=64, seed=0):
    """A BERT of 2 layers of 32 with a tokenizer of characters, in transformers' form."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast
    from transformers.utils import logging

    logging.disable_progress_bar()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *CHARACTERS]), "utf-8")
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(CHARACTERS) + 5,
        hidden_size=32,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=length,
        initializer_range=0.2,  # at the usual 0.02 a model of this size says the same of every text
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    BertTokenizerFast(vocab=str(folder / "vocab.txt"), model_max_length=length).save_pretrained(folder)
    return folder
