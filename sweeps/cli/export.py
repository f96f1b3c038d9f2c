"""The commands that use a sweep's winners: export, train, caption."""

import argparse
import json
import sys
from pathlib import Path

from lnt_core import metrics as metric
from sweeps.cli.arguments import name_argument, tracking_uri
from sweeps.cli.exit_codes import EXIT_DONE, EXIT_FAILED
from sweeps.settings import quiet_transformers, read_settings
from sweeps.storage.execution import TrialStatus


def add_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """Add the arguments of `lnt export`, `lnt train` or `lnt caption`."""
    {"export": _export_arguments, "train": _train_arguments, "caption": _caption_arguments}[name](
        parser
    )


def _export_arguments(parser: argparse.ArgumentParser) -> None:
    name_argument(parser)
    parser.add_argument("--strategy", help="export this strategy's winner (default: best of all)")
    parser.add_argument(
        "--merged",
        action="store_true",
        help="also write base and tuned weights merged into a plain transformers checkpoint",
    )
    parser.add_argument(
        "-o", dest="out", type=Path, required=True, metavar="DIR", help="output folder"
    )
    parser.set_defaults(command=_export)


def _train_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("best", type=Path, metavar="best.yaml", help="file written by `lnt export`")
    parser.add_argument(
        "-o",
        dest="out",
        type=Path,
        default=Path("lnt_train"),
        metavar="DIR",
        help="output folder (default: lnt_train)",
    )
    parser.set_defaults(command=_train)


def _caption_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder written by `lnt export`")
    parser.add_argument(
        "images", type=Path, nargs="+", metavar="IMAGE", help="image files to caption"
    )
    parser.add_argument("--prompt", help="question to the model (default: the sweep's prompt)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(command=_caption)


def _export(args: argparse.Namespace) -> int:
    from sweeps.export.write import export
    from sweeps.plan.labels import short_rate
    from sweeps.tracking.store import connect

    merged_with = read_settings().cache if args.merged else None
    if args.merged:
        quiet_transformers()
    trial = export(
        connect(tracking_uri(args)), args.name, args.strategy, args.out, merged_with=merged_with
    )
    rate, told = short_rate(trial.learning_rate), trial.objective
    score = f"{told.label} {told.shown(trial.score or 0.0)}"
    print(f"Exported {trial.strategy} at {rate}, {score}, to {args.out}")
    print(f"Caption images with: lnt caption {args.out} IMAGE ...")
    print(f"Train again with:    lnt train {args.out / 'best.yaml'}")
    return EXIT_DONE


def _train(args: argparse.Namespace) -> int:
    from lnt_core.errors import all_problems
    from lnt_core.evaluation.check import data_problems
    from sweeps.export.best import load_best
    from sweeps.export.retrain import train_best
    from sweeps.validation import create_output

    best = load_best(args.best)
    if problems := data_problems(best.trial.model, best.trial.data):
        raise all_problems(str(args.best), problems)
    create_output(args.out)
    result = train_best(best, args.out, read_settings().cache)
    if result.status != TrialStatus.FINISHED:
        print(f"lnt: the trial {result.status} at step {result.steps}", file=sys.stderr)
        return EXIT_FAILED
    told = metric.OBJECTIVES[metric.objective_in(result.metrics) or metric.SELECT_CIDER]
    score = result.metrics[told.metric]
    print(f"{told.label} {score!r} (exported: {best.score!r}), in {args.out}")
    return EXIT_DONE


def _caption(args: argparse.Namespace) -> int:
    from lnt_core.devices.chosen import default_device
    from lnt_core.evaluation.caption import Captioner, read_images
    from sweeps.export.best import BEST, load_best

    best = load_best(args.folder / BEST)
    images = read_images(args.images, opening=best.trial.data.opening)
    quiet_transformers()
    captioner = Captioner.load(
        best.trial, args.folder, cache=read_settings().cache, device=default_device()
    )
    captions = captioner.caption(images, args.prompt)
    rows = [{"image": str(i), "caption": c} for i, c in zip(args.images, captions, strict=True)]
    if args.json:
        prompt = args.prompt or captioner.prompt
        print(json.dumps({"prompt": prompt, "captions": rows}, ensure_ascii=False))
        return EXIT_DONE
    for row in rows:
        print(f"{row['image']}: {row['caption']}")
    return EXIT_DONE
