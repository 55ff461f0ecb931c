"""LLaMA-Factory on the rows of a job file; runs in its environment. `llamafactory_arm.py JOB.json`.

Prompts come rendered, and the template is `empty`: what it makes of them are the tokens of the job.
"""

import json
import sys
from pathlib import Path

import meter


def main() -> None:
    """Write its data files, then run the experiment as `llamafactory-cli train` does."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    from llamafactory.train.tuner import run_exp

    meter.install(Path(job["measured"]), job["seed"])

    data = Path(job["output"]) / "data"
    data.mkdir(parents=True)
    rows = [{"instruction": row["prompt_text"], "input": "", "output": row["answer_text"]} for row in job["rows"]]
    (data / "rows.json").write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    (data / "dataset_info.json").write_text(json.dumps({"rows": {"file_name": "rows.json"}}), encoding="utf-8")
    settings = {
        "model_name_or_path": job["model"],
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "lora",
        "lora_rank": job["r"],
        "lora_alpha": job["alpha"],
        "lora_dropout": 0.0,
        "lora_target": ",".join(job["targets"]),
        "dataset": "rows",
        "dataset_dir": str(data),
        "template": "empty",
        "cutoff_len": job["max_length"],
        "disable_shuffling": True,
        "disable_gradient_checkpointing": True,
        "flash_attn": "sdpa",
        "bf16": True,
        "use_cpu": True,
        "output_dir": job["adapter"],
        "max_steps": job["steps"],
        "learning_rate": job["learning_rate"],
        "lr_scheduler_type": "cosine",
        "warmup_steps": job["warmup_steps"],
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "optim": "adamw_torch",
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "seed": job["seed"],
        "dataloader_pin_memory": False,
    }
    if job["quantise"] == "nf4":
        settings |= {"quantization_bit": 4, "quantization_method": "bnb", "quantization_type": "nf4"}
        settings["double_quantization"] = True
    run_exp(settings | job["own"])


if __name__ == "__main__":
    main()
