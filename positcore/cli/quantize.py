"""`positcore quantize`: a network trained in float, tested in posits, and where error enters."""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from positcore.cli.arguments import add_format, add_json

__all__ = ["EXAMPLE", "configure", "run"]

EXAMPLE = "positcore quantize out/float/checkpoint.pt --format 6,1"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    from positcore.data import NAMES
    from positcore.nn.models import MODELS

    parser.add_argument(
        "weights", type=Path, metavar="FILE",
        help="checkpoint.pt of `positcore train --policy float32`, or a state_dict of a MODEL saved by torch.save",
    )  # fmt: skip
    add_format(parser)
    parser.add_argument("--model", choices=MODELS, help="which network it is, where the file does not say")
    parser.add_argument("--data", choices=NAMES, help="the data set (that of the checkpoint)")
    parser.add_argument("--data-root", type=Path, metavar="DIR", help="where its files are ($POSITCORE_DATA)")
    parser.add_argument(
        "--scale", choices=("none", "tensor", "channel"), default="channel",
        help="powers of two for weights: none, one for a layer, or one for each output channel (channel)",
    )  # fmt: skip
    parser.add_argument("--no-activations", action="store_true", help="no powers of two for activations")
    parser.add_argument(
        "--sample", type=int, default=256, metavar="N", help="training images to choose powers of two by (256)"
    )
    parser.add_argument("--images", type=int, metavar="N", help="only the first N test images")
    parser.add_argument("--threads", type=int, metavar="T", help="threads; posits are the same bits for any number")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print the accuracy in float32, in posits without and with powers of two, and the layers' errors."""
    import torch

    from positcore.data import load
    from positcore.nn import compare_layers, convert, layer_table, quantize_model
    from positcore.nn.evaluation import batch_of, evaluate
    from positcore.nn.models import build
    from positcore.nn.quantization import policy_of

    for name in ("sample", "images", "threads"):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            raise ValueError(f"quantize: --{name} must be at least 1, not {getattr(args, name)}")
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    weights, name, data = _weights(args)
    train, test = (load(data, split, args.data_root) for split in ("train", "test"))
    test = test if args.images is None else test.first(args.images)
    channels, height, width = train.images.shape[1:]
    model = build(name, len(train.classes), (channels, height, width)).eval()
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"{args.weights} does not hold the weights of {name}: {str(error).splitlines()[-1]}") from None
    sample, _ = batch_of(train, slice(args.sample), torch.device("cpu"))
    scaled = quantize_model(model, args.format, sample, weights=args.scale, activations=not args.no_activations)
    networks = {
        "float32": model, str(args.format): convert(model, policy_of(args.format)), f"{args.format}, scaled": scaled
    }  # fmt: skip
    scores = {label: asdict(evaluate(network, test)) for label, network in networks.items()}
    errors = compare_layers(model, scaled, sample)
    if args.json:
        layers = [{key: _finite(value) for key, value in asdict(error).items()} for error in errors]
        figures = {"model": name, "data": data, "images": len(test), "scores": scores, "layers": layers}
        print(json.dumps(figures, indent=2))
        return 0
    print(f"{name}, {len(test):,} test images of {data}")
    print(f"{'':<22} {'accuracy':>9} {'top 3':>9} {'loss':>8}")
    for label, score in scores.items():
        print(f"{label:<22} {score['accuracy']:>7.2f} % {score['top3']:>7.2f} % {score['loss']:>8.4f}")
    print(f"\nlayers, scaled, on {len(sample)} training images\n{layer_table(errors)}")
    return 0


def _weights(args: argparse.Namespace) -> tuple[Any, str, str]:
    """The state_dict, the model and the data set of the file, as far as the options do not say."""
    import torch

    from positcore.nn.checkpoint import load_checkpoint

    try:
        state = load_checkpoint(args.weights)
    except ValueError:
        if args.model is None or args.data is None:
            raise ValueError(
                f"{args.weights} is no checkpoint of positcore, or a damaged one; for a state_dict of your own give "
                "--model and --data"
            ) from None
        try:
            return torch.load(args.weights, map_location="cpu", weights_only=True), args.model, args.data
        except Exception as error:
            raise ValueError(f"{args.weights} holds no state_dict: {str(error).splitlines()[0]}") from None
    recipe = state["recipe"]
    if recipe["policy"] != "float32":
        raise ValueError(f"{args.weights} was trained with {recipe['policy']}; quantize takes a network of float32")
    return state["model"], args.model or recipe["model"], args.data or state["data"].split()[0]


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
