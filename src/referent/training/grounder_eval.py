"""How a grounder in the making answers about pictures it never saw, in words it knows; for the time between steps.

    python -m referent.training.grounder_eval --model RUN/bundle [--scenes 40] [--first-seed 0]

The finished model is judged by `referent evaluate --suite heldout`, on other seeds.
"""

from __future__ import annotations

import argparse

from referent.config import GrounderConfig
from referent.evaluation.heldout.grounder import ask_plainly
from referent.evaluation.heldout.grounder_rows import rows_by_kind
from referent.evaluation.heldout.judge import FINAL_SEED
from referent.evaluation.heldout.rows import table_of_bars
from referent.grounding import backends


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="referent-qwen3vl-tiny", help="a name in models.yaml or a folder")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--scenes", type=int, default=40)
    options = parser.parse_args()
    if options.first_seed + options.scenes > FINAL_SEED:
        parser.error(f"seeds from {FINAL_SEED} on are for the final table")
    grounder = backends.create(GrounderConfig(model=options.model, device="cpu", threads=1))
    outcomes = ask_plainly(grounder, range(options.first_seed, options.first_seed + options.scenes))
    print(table_of_bars([row.line() for row in rows_by_kind(outcomes)]))


if __name__ == "__main__":
    main()
