"""The commands that take the outcome home: export, train, caption."""

import argparse
import json
import sys
from pathlib import Path

from sweeps.cli_arguments import Command, name_argument, tracking_uri
from sweeps.settings import quiet_transformers, read_settings


def add_export_commands(command: Command) -> None:
    """Add the commands."""
    export = command(
        "export",
        _export,
        "write best.yaml, the tuned weights, a model card, and files for other trainers",
    )
    name_argument(export)
    export.add_argument("--strategy", help="whose winner; left out, the best of all")
    export.add_argument(
        "--merged", action="store_true", help="and base and weights in one, for plain transformers"
    )
    export.add_argument("-o", dest="out", type=Path, required=True, metavar="DIR", help="where to")
    train = command("train", _train, "train once more from an exported best.yaml")
    train.add_argument("best", type=Path, metavar="best.yaml")
    train.add_argument(
        "-o", dest="out", type=Path, default=Path("lnt_train"), metavar="DIR", help="where to"
    )
    caption = command("caption", _caption, "caption images with exported weights")
    caption.add_argument("folder", type=Path, metavar="DIR", help="what `lnt export` wrote")
    caption.add_argument("images", type=Path, nargs="+", metavar="IMAGE")
    caption.add_argument("--prompt", help="left out, the sweep's own")
    caption.add_argument("--json", action="store_true", help="print one JSON object")


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
    rate = short_rate(trial.learning_rate)
    print(f"{trial.strategy} at {rate}, CIDEr {trial.score:.2f}: {args.out}")
    print(f"Caption images with: lnt caption {args.out} IMAGE ...")
    print(f"Train again with:    lnt train {args.out / 'best.yaml'}")
    return 0


def _train(args: argparse.Namespace) -> int:
    from lnt_core.data.check import data_problems
    from lnt_core.errors import all_problems
    from sweeps.export.best import load_best
    from sweeps.export.retrain import train_best

    best = load_best(args.best)
    if problems := data_problems(best.trial.model, best.trial.data):
        raise all_problems(str(args.best), problems)
    result = train_best(best, args.out, read_settings().cache)
    if result.status != "finished":
        print(f"lnt: the trial {result.status} at step {result.steps}", file=sys.stderr)
        return 1
    print(f"CIDEr {result.metrics['select/cider']!r} (exported: {best.score!r}), in {args.out}")
    return 0


def _caption(args: argparse.Namespace) -> int:
    from lnt_core.evaluation.caption import Captioner, here, read_images
    from sweeps.export.best import BEST, load_best

    best = load_best(args.folder / BEST)
    images = read_images(args.images)
    quiet_transformers()
    captioner = Captioner.load(best.trial, args.folder, cache=read_settings().cache, device=here())
    captions = captioner.caption(images, args.prompt)
    rows = [{"image": str(i), "caption": c} for i, c in zip(args.images, captions, strict=True)]
    if args.json:
        asked = args.prompt or captioner.prompt
        print(json.dumps({"prompt": asked, "captions": rows}, ensure_ascii=False))
        return 0
    for row in rows:
        print(f"{row['image']}: {row['caption']}")
    return 0
