"""The loss study: every (protocol, loss, fold, seed) is one independent, resumable run; its rows go into training/results.

Example, the whole native study:

    python -m training.study --protocol native --losses all --folds all --seeds 0 1 2 --data data/packed

A run whose rows are in the results file is not run again, and a run that was killed continues from its last epoch.
`--executor slurm` hands every run to Slurm as a job of its own; the default runs them here, one per GPU, or one after the
other (`--workers`) on a machine without. With the same options and `--status` it says how far the study is.
"""

import argparse
import dataclasses
import itertools
from pathlib import Path

import torch

from model.errors import UserError
from model.files import require_writable
from training.common.cli import add_device_option, command_parser, run
from training.common.loss_names import LOSS_NAMES
from training.data.dataset import load_folds, require_packed
from training.data.seen import digests
from training.data.splits import folds_of
from training.learning.executors import LocalExecutor, slurm_executor, slurm_options, work_off
from training.learning.study_runs import PER_RUN, Job, finished_runs, rule_row, run_folder, study_configuration
from training.learning.study_status import status_text
from training.learning.train_config import TrainConfig, add_config_options, config_from, protocol_defaults
from training.scores.configuration import require_configuration
from training.scores.methods import RULE
from training.scores.places import add_results_option, results_of
from training.scores.rows import Row, add_results, read_records


def asked_for(args: argparse.Namespace, config: TrainConfig) -> list[Job]:
    """The runs that the options name; fold by fold, so that a study that is stopped has all losses on some folds."""
    jobs = []
    for seed, fold, loss in itertools.product(args.seeds, args.folds, args.losses):
        changed = dataclasses.replace(config, loss=loss, fold=fold, seed=seed)
        folder = run_folder(args.runs / config.protocol, loss, fold, seed)
        jobs.append(Job(changed, args.data, folder, args.device, args.threads))
    return jobs


def chosen(words: list[str], everything: list, option: str) -> list:
    """What a list option names: "all", or some of `everything`. Raises UserError for anything else."""
    if words == ["all"]:
        return everything
    known = {str(item): item for item in everything}
    for word in words:
        if word not in known:
            raise UserError(f"{option} {word}: unknown, expected all or some of {', '.join(known)}")
    return [known[word] for word in dict.fromkeys(words)]


def parse_arguments() -> argparse.Namespace:
    parser = command_parser(__doc__)
    parser.add_argument("--data", type=Path, default=Path("data/packed"), help="packed cases (default: %(default)s)")
    parser.add_argument("--losses", nargs="+", default=["all"], help="all, or some of: " + ", ".join(LOSS_NAMES))
    parser.add_argument("--folds", nargs="+", default=["all"], help="all, or some of their numbers (default: all)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="default: 0")
    parser.add_argument("--runs", type=Path, default=Path("runs/study"), help="folder of the runs (default: %(default)s)")
    add_results_option(parser)
    add_device_option(parser)
    parser.add_argument("--executor", choices=("local", "slurm"), default="local", help="default: %(default)s")
    parser.add_argument("--workers", type=int, default=0, help="local runs at once (default: one per GPU, or one)")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads of a run (default: torch's choice)")
    parser.add_argument("--slurm", nargs="*", default=[], metavar="KEY=VALUE", help="parameters of submitit's AutoExecutor")
    parser.add_argument("--status", action="store_true", help="say which are done, running, stopped or missing; start none")
    add_config_options(parser, protocol_defaults(), leave_out=PER_RUN)
    args = parser.parse_args()
    args.losses = chosen(args.losses, list(LOSS_NAMES), "--losses")
    args.folds = chosen(args.folds, list(range(len(folds_of(args.data)))), "--folds")
    args.results = results_of(args)
    return args


def score_rule(data: Path, config: TrainConfig, results: Path) -> None:
    """Write what all rows share, and the rule's rows where there are none. Raises UserError for another study's results."""
    cases = load_folds(data).values()
    configuration = study_configuration(config, folds_of(data), digests(cases))
    require_configuration(configuration, results)
    if RULE not in {row.method for row in read_records(results, Row)}:
        add_results(list(map(rule_row, cases)), [], configuration, results)


def main() -> None:
    args = parse_arguments()
    results = args.results / f"{args.protocol}.csv"
    config = config_from(args)
    jobs = asked_for(args, config)
    if args.status:
        print(status_text(jobs, results))
        return
    require_packed(args.data)
    for folder in (args.results, args.runs):
        require_writable(folder)
    score_rule(args.data, config, results)
    done = finished_runs(read_records(results, Row), folds_of(args.data))
    to_do = [job for job in jobs if job.key not in done]
    print(f"{len(to_do)} of {len(jobs)} runs to do", flush=True)
    if args.executor == "slurm":
        executor = slurm_executor(args.runs / "slurm", slurm_options(args.slurm))
    else:
        executor = LocalExecutor(args.workers or max(torch.cuda.device_count(), 1))
    failures = work_off(to_do, executor, results)
    if failures:
        raise UserError(f"{len(failures)} of {len(to_do)} runs failed, the others' rows are in {results}; {failures[0]}")
    print(results)


if __name__ == "__main__":
    run(main)
