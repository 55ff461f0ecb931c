"""TRL's SFTTrainer on the rows of a job file; runs in TRL's environment. `trl_arm.py JOB.json`."""

import json
import sys
from pathlib import Path

import meter


def main() -> None:
    """Load in NF4 as TRL's documentation of QLoRA does, train, save the adapter."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, set_seed
    from trl import SFTConfig, SFTTrainer

    meter.install(Path(job["measured"]), job["seed"])
    set_seed(job["seed"])
    options = {}
    if job["quantise"] == "nf4":
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
    model = AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.bfloat16, device_map={"": "cpu"}, **options)
    own = job["own"]
    rows = Dataset.from_list(
        [{"input_ids": row["prompt"] + row["answer"], "completion_mask": mask(row)} for row in job["rows"]]
    )
    trainer = SFTTrainer(
        model=model,
        processing_class=AutoTokenizer.from_pretrained(job["model"]),
        train_dataset=rows,
        peft_config=LoraConfig(
            r=job["r"], lora_alpha=job["alpha"], lora_dropout=0.0, target_modules=job["targets"], task_type="CAUSAL_LM"
        ),
        args=SFTConfig(
            output_dir=job["output"],
            max_steps=job["steps"],
            learning_rate=job["learning_rate"],
            lr_scheduler_type="cosine",
            warmup_steps=job["warmup_steps"],
            weight_decay=0.0,
            max_grad_norm=1.0,
            optim="adamw_torch",
            bf16=True,
            use_cpu=True,
            completion_only_loss=True,
            logging_steps=1,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            dataloader_pin_memory=False,
            seed=job["seed"],
            train_sampling_strategy="sequential",
            **{"max_length": job["max_length"], "gradient_checkpointing": False, **own},
        ),
    )
    trainer.train()
    trainer.save_model(job["adapter"])


def mask(row: dict[str, list[int]]) -> list[int]:
    """What is learned of a row."""
    return [0] * len(row["prompt"]) + [1] * len(row["answer"])


if __name__ == "__main__":
    main()
