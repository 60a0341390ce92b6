"""``fastnet check``."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from fastnet.cli import data
from fastnet.cli.arguments import add_device, add_threads, count, folder, not_negative, whole
from fastnet.cli.errors import user_mistakes
from fastnet.cli.recipes import recipe_for

_EPILOG = """what it checks, in seconds for small networks, in a minute or two for one like ResNet-20:
  1  the initial loss: log(classes) without regularization, and higher by exactly the penalty with it
  2  whether the network learns a few examples by heart, with plain SGD
  3  at which learning rate the loss falls within 100 iterations, with a small weight decay
  and with a rate that rises from step to step: where the loss begins to fall, and where it explodes

examples:
  fastnet check
  fastnet check --data cifar10:DIR --model resnet20 --out runs/check
"""


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "check",
        help="sanity checks to make before training",
        description="Check a network, its initial weights and the data before training, and find a learning rate.",
        epilog=f"{data.KINDS}\n{_EPILOG}",
    )
    data.add_data(parser, "digits", "default: digits")
    add = parser.add_argument
    add("--model", metavar="NAME", help="architecture, as for fastnet train (default: suits the images' size)")
    add("--loss", choices=("softmax", "svm"), default="softmax", help="(default: softmax)")
    add("--examples", type=count, default=20, metavar="N", help="how many to learn by heart (default: 20)")
    add("--iterations", type=count, default=100, metavar="N", help="updates at each learning rate (default: 100)")
    add("--weight-decay", type=not_negative, default=1e-4, metavar="X", help="of step 3 (default: 1e-4)")
    add("--batch-size", type=count, metavar="N", help="images per update")
    add("--seed", type=whole, default=0, metavar="N", help="of the weights and the order of images (default: 0)")
    add_threads(parser)
    add_device(parser)
    add("--out", type=folder, metavar="DIR", help="write pictures of the losses there")
    parser.set_defaults(run=run)


def run(args: Namespace) -> int:
    from fastnet import diagnose, models

    dataset = data.load(data.Source.of_arguments(args)._replace(whole=None))
    recipe = recipe_for(dataset.image_shape)
    name = args.model or recipe.model
    with user_mistakes():
        options = recipe.options if name == recipe.model else {}
        model = models.create(name, len(dataset.classes), dataset.image_shape, seed=args.seed, **options)
        if args.out:
            args.out.mkdir(parents=True, exist_ok=True)
        given: dict[str, Any] = {
            "loss": args.loss,
            "iterations": args.iterations,
            "batch_size": args.batch_size or recipe.batch_size,
            "preprocess": "standardize",
            "seed": args.seed,
        }
        print(f"{name} on {dataset.name}: {len(dataset.y_train):,} training images, {len(dataset.classes)} classes\n")
        check = diagnose.sanity_check(model, dataset, examples=args.examples, weight_decay=args.weight_decay, **given)
        print(check, end="\n\n")
        given["iterations"] = max(args.iterations, 10)
        test = diagnose.lr_range_test(model, dataset, **given)
        print(test)
        if args.out:
            check.plot(args.out / "check.png")
            test.plot(args.out / "rates.png")
            print(f"{args.out / 'check.png'} and {args.out / 'rates.png'} are written")
    return 0 if check.ok else 1
