"""`wb train --method qlora` on the rows of a job file, as the command line runs it. `wb_arm.py JOB.json`."""

import json
import sys
from pathlib import Path

import meter


def main() -> None:
    """Put the job into options of the command line."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    from workbench.lm.load import quiet

    quiet()
    meter.install(Path(job["measured"]), job["seed"])
    from workbench.cli import main as wb

    settings = [f"train.qlora.{name}={json.dumps(value)}" for name, value in job["settings"].items()]
    settings += [f"seed={job['seed']}", "train.dev_share=0"]
    files = ["--train", job["file"], "--text", "text", "--label", "label", "--output-path", job["output"]]
    choose = [part for one in settings for part in ("--set", one)]
    sys.argv = ["wb", "train", "--method", "qlora", "--model", job["model"], *files, "--json", *choose]
    wb()


if __name__ == "__main__":
    main()
