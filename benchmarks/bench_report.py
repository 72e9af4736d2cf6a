"""How long the HTML report of 2,000 experiments with metric curves takes to write and to open.

    python benchmarks/bench_report.py [--number 2000] [--steps 100] [--rounds 3] [--keep DIR]

Needs playwright and a Chromium (``--chromium PATH``, by default the one that is found). Beside it
the same browser opens what pandas makes of the same results, ``to_frame().to_html()``: a plain
table. Open is from the navigation to a page whose table and figures can be seen: the load event,
then two frames. README.md beside this file tells how to read it.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import random
import shutil
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pytest_memento import load_results, write_report
from pytest_memento.fingerprint import Digest
from pytest_memento.record import Key, Outcome, Plain, Record, Value
from pytest_memento.store import Store

NAME = "experiments/exp_train.py::experiment"
OPENED = """
() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(
    () => done(performance.now()))))
"""
TIMED = """
task => new Promise(done => {
    const start = performance.now();
    if (task === 'sort') document.querySelectorAll('#rows thead button')[1].click();
    else {
        const input = document.querySelector('input[type=search]');
        input.value = 'adam';
        input.dispatchEvent(new Event('input'));
    }
    requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - start)));
})
"""


def main() -> None:
    options = read_options()
    took: dict[str, list[float]] = defaultdict(list)
    with working_directory(options.keep) as directory:
        store = Store(directory / "store")
        fill(store, options.number, options.steps)
        results = load_results(store=store.root)
        pages = {"report": directory / "report.html", "pandas": directory / "pandas.html"}
        for _ in range(options.rounds):
            with timed(took["report, written, s"]):
                write_report(results, pages["report"])
            with timed(took["pandas, written, s"]):
                pages["pandas"].write_text(results.to_frame().to_html(), encoding="utf-8")
        browse(options, pages, took)
        print(f"{options.number:,} experiments, 2 metrics of {options.steps} steps:\n")
        print("| | median |\n|---|--:|")
        for name, path in pages.items():
            print(f"| {name}, MB | {path.stat().st_size / 1e6:.1f} |")
        for name, times in took.items():
            print(f"| {name} | {statistics.median(times):.2f} |")
        ratio = [statistics.median(took[f"{name}, opened, s"]) for name in pages]
        print(f"| opened, times pandas | {ratio[0] / ratio[1]:.2f} |")


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--number", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="where the pages are to stay")
    parser.add_argument(
        "--chromium", default=shutil.which("chromium") or shutil.which("google-chrome")
    )
    return parser.parse_args()


@contextlib.contextmanager
def working_directory(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="memento-bench-") as directory:
        yield Path(directory)


@contextlib.contextmanager
def timed(times: list[float]) -> Iterator[None]:
    start = time.perf_counter()
    yield
    times.append(time.perf_counter() - start)


def browse(
    options: argparse.Namespace, pages: dict[str, Path], took: dict[str, list[float]]
) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=options.chromium)
        for _ in range(options.rounds):
            for name, path in pages.items():
                page = browser.new_page(viewport={"width": 1280, "height": 900})
                page.goto(path.resolve().as_uri(), wait_until="load")
                took[f"{name}, opened, s"].append(page.evaluate(OPENED) / 1000)
                for task in ("sort", "filter") if name == "report" else ():
                    took[f"report, {task}, s"].append(page.evaluate(TIMED, task) / 1000)
                page.close()
        browser.close()


# -- results ---------------------------------------------------------------------------------------


def fill(store: Store, number: int, steps: int) -> None:
    """Store what a grid of trainings would have left: learning rates, sizes, optimizers, seeds."""
    draw = random.Random(0)
    stems = []
    for n in range(number):
        record, details = trained(n, steps, draw)
        store.publish(record, details, replace=True)
        stems.append(record.key.stem)
    environment = {"host": "node01", "python": "3.11.7", "commit": "0" * 40, "dirty": False}
    store.put_document("0" * 32, {**environment, "versions": {"numpy": "2.4.6", "torch": "2.13.0"}})
    store.put_plan(NAME, stems)


def trained(n: int, steps: int, draw: random.Random) -> tuple[Record, dict[str, Any]]:
    rate = [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0][n % 10]
    width = [16, 32, 64, 128, 256][n // 10 % 5]
    optimizer = ["sgd", "adam", "rmsprop", "adagrad"][n // 50 % 4]
    config: dict[str, Plain] = {
        "rate": rate,
        "width": width,
        "optimizer": optimizer,
        "repeat": n // 200,
    }
    series = curves(rate, width, steps, draw)
    has_failed = rate == 3.0 and width == 256
    loss = series["loss"][-1][1]
    record = Record(
        key=Key(NAME, *(Digest(f"{n:08x}".ljust(32, "0")) for _ in range(3))),
        id="-".join(f"{name}={value}" for name, value in config.items()),
        parameters={k: Value(str(v), f"{v}", v, True) for k, v in config.items()},
        settings={"epochs": Value(str(steps), "", steps, True)},
        outcome=Outcome.FAILED if has_failed else Outcome.PASSED,
        started=1.79e9 + n,
        runtime=draw.uniform(20, 90) * width / 64,
        cpu_time=50.0,
        memory=200_000_000 + width * 1_000_000,
        result={k: Value(f"{v:.6g}", "", v, True) for k, v in
                {"accuracy": 1 / (1 + loss), "loss": loss}.items()},
        metrics={name: path[-1][1] for name, path in series.items()},
        error="OverflowError: the loss is no number any more" if has_failed else "",
        environment="0" * 32,
    )  # fmt: skip
    details: dict[str, Any] = {"metrics": series}
    if has_failed:
        text = "\n".join(f'  File "train.py", line {k}, in step_{k}' for k in range(40))
        details |= {"traceback": f"Traceback\n{text}\n{record.error}", "output": "epoch 0\n" * 200}
    return record, details


def curves(
    rate: float, width: int, steps: int, draw: random.Random
) -> dict[str, list[tuple[int, float]]]:
    speed = 0.06 * math.exp(-abs(math.log10(rate) + 2.2) * 0.9) * (width / 64) ** 0.3
    floor = 0.08 + 0.05 * abs(math.log10(rate) + 2) + draw.uniform(0, 0.03)
    loss = [floor + 2.2 * math.exp(-speed * n) + draw.gauss(0, 0.02) for n in range(steps)]
    points = [(n, max(0.01, value)) for n, value in enumerate(loss)]
    return {"loss": points, "accuracy": [(n, 1 / (1 + value)) for n, value in points]}


if __name__ == "__main__":
    main()
