"""The HTML report in a real Chromium: what it shows, what it asks for, what it lets one do."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_memento import load_results, write_report
from pytest_memento.fingerprint import Digest
from pytest_memento.labels import label
from pytest_memento.record import Key, Outcome, Record, describe_result
from pytest_memento.record import Value as Described
from pytest_memento.store import Store

pytestmark = pytest.mark.browser

EVIL = "</script><script>alert(1)</script>\"'|\n<img src=x onerror=alert(2)>{{7*7}}"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
                None)  # fmt: skip
WIDE, PHONE = {"width": 1200, "height": 900}, {"width": 375, "height": 812}
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The browser of this machine."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("needs Chromium (apt-get install chromium)")
    with api.sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM)
        yield made
        made.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Open]:
    """Open a file; that it asks for nothing and complains of nothing is checked at the end."""
    troubles: list[str] = []
    contexts = []

    def open_page(path: Path, viewport: Any = WIDE, **options: Any) -> Any:
        contexts.append(browser.new_context(viewport=viewport, **options))
        page, url = contexts[-1].new_page(), path.as_uri()
        page.set_default_timeout(10_000)
        page.on("request", lambda r: troubles.append(r.url) if _leaves(r.url, url) else None)
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("dialog", lambda dialog: troubles.append(dialog.message))
        page.goto(url, wait_until="load")
        page.wait_for_selector("html[data-ready]")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert troubles == []


def _leaves(url: str, page: str) -> bool:
    return url.partition("#")[0] != page and not url.startswith("data:")


def fill(root: Path, configurations: Sequence[Mapping[str, Any]], run: Callable[..., Any]) -> Store:
    """Store what a function makes of configurations: result, metrics, error."""
    store, name = Store(root), "experiments/exp_train.py::experiment"
    stems = []
    for n, config in enumerate(configurations):
        digest = Digest(f"{n:08x}".ljust(32, "0"))
        result, series, error = run(config)
        record = Record(
            key=Key(name, digest, digest, digest),
            id="-".join(f"{key}={label(value)}" for key, value in config.items()),
            parameters={k: Described.of(v, label(v)) for k, v in config.items()},
            settings={},
            outcome=Outcome.FAILED if error else Outcome.PASSED,
            started=1.79e9,
            runtime=30.0 + 60 * n,
            cpu_time=1.0,
            memory=1_000_000 * (n + 1),
            result={} if error else describe_result(result),
            metrics={key: path[-1][1] for key, path in series.items()},
            error=error,
        )
        details = {"metrics": series, "traceback": f"Traceback {error}", "output": error}
        store.publish(record, details, replace=True)
        stems.append(record.key.stem)
    store.put_plan(name, stems)
    return store


def report_of(store: Store, path: Path) -> Path:
    write_report(load_results(store=store.root), path)
    return path


def trained(config: Mapping[str, Any]) -> tuple[Any, Any, str]:
    quality = {"SVC": 0.9, "Perceptron": 0.7, "Forest": 0.8}[config["model"]]
    accuracy = quality - abs(math.log10(config["lr"]) + 2) / 10
    if config["model"] == "Perceptron" and config["lr"] == 0.1:
        return None, {}, "MemoryError: CUDA out of memory"
    loss = [(n, math.exp(-n * config["lr"]) + 0.01) for n in range(20)]
    return {"accuracy": accuracy}, {"loss": loss, "rate": [(0, 1), (1, 2)]}, ""


GRID = [
    {"model": model, "lr": lr, "data": data}
    for model in ("SVC", "Perceptron", "Forest")
    for lr in (0.1, 0.01, 0.001, 0.0001)
    for data in ("wine", "digits")
]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of 24 experiments, of which two failed."""
    directory = tmp_path_factory.mktemp("small")
    return report_of(fill(directory / "store", GRID, trained), directory / "report.html")


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of 2,000 experiments with curves."""
    directory = tmp_path_factory.mktemp("large")
    grid = [{"lr": 10 ** (-n % 20 / 4), "width": 2 ** (n // 20 % 10), "seed": n // 200}
            for n in range(2000)]  # fmt: skip

    def run(config: Mapping[str, Any]) -> tuple[Any, Any, str]:
        loss = [(n, math.exp(-n * config["lr"]) + config["seed"] / 50) for n in range(100)]
        return loss[-1][1], {"loss": loss}, ""

    return report_of(fill(directory / "store", grid, run), directory / "report.html")


def cells(page: Any, column: str) -> list[str]:
    """Return what a column shows, from top to bottom."""
    heads = [text.strip() for text in page.locator("#rows thead th").all_inner_texts()]
    number = heads.index(column) + 1
    found: list[str] = page.locator(f"#rows tbody td:nth-child({number})").all_inner_texts()
    return found


def choose(page: Any, where: str, name: str, option: str) -> None:
    page.locator(where).get_by_label(name, exact=True).select_option(label=option)
    settle(page)


def settle(page: Any) -> None:
    """Wait for what is drawn a frame later."""
    page.evaluate("() => new Promise(done => setTimeout(done, 100))")


# -- the table -------------------------------------------------------------------------------------


def test_the_table_is_there(open_page: Open, small: Path) -> None:
    page = open_page(small)
    assert page.title() == "experiments/exp_train.py::experiment"
    assert page.get_by_role("heading", level=1).is_visible()
    assert page.locator("#rows").is_visible()
    assert page.locator("#rows tbody tr").count() == 24
    assert cells(page, "status").count("✗failed") == 2
    assert "24 experiments: 2 failed, 22 passed." in page.locator("header").inner_text()


def test_sorting(open_page: Open, small: Path) -> None:
    page = open_page(small)
    head = page.get_by_role("columnheader", name="result.accuracy")
    before = cells(page, "lr")
    head.get_by_role("button").click()
    numbers = [float(text) for text in cells(page, "result.accuracy") if text]
    assert numbers == sorted(numbers)
    assert cells(page, "result.accuracy")[-2:] == ["", ""]
    assert head.get_attribute("aria-sort") == "ascending"
    head.get_by_role("button").press("Enter")
    down = [float(text) for text in cells(page, "result.accuracy") if text]
    assert down == numbers[::-1]
    assert cells(page, "result.accuracy")[-2:] == ["", ""]
    assert head.get_attribute("aria-sort") == "descending"
    head.get_by_role("button").press("Space")
    assert head.get_attribute("aria-sort") == "none"
    assert cells(page, "lr") == before


@pytest.mark.parametrize(
    ("expression", "number"),
    [
        ("model == 'SVC'", 8),
        ("model == 'SVC' and lr <= 0.01", 6),
        ("not (model == 'SVC' or lr > 1e-3)", 8),
        ("model in ['SVC', \"Forest\"] and data != 'wine'", 8),
        ("lr not in (0.1, 0.01)", 12),
        ("status == 'failed'", 2),
        ("result.accuracy is None", 2),
        ("result['accuracy'] is None and model in ['Perceptron', 'SVC']", 2),
        ("result.accuracy is not None and result.accuracy >= 0.85", 2),
        ("runtime > '20m' or memory <= '2MB'", 6),
        ("metrics.loss < -1", 0),
        ("error == 'MemoryError: CUDA out of memory'", 2),
    ],
)
def test_expressions(open_page: Open, small: Path, expression: str, number: int) -> None:
    page = open_page(small)
    page.get_by_label("Expression").fill(expression)
    assert page.locator("#rows tbody tr").count() == number
    assert f"{number} of 24 experiments" in page.get_by_role("status").inner_text()


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("modle == 1", "there is no modle (model, lr, data, status"),
        ("model", "a comparison is missing"),
        ("model == ", "a name or a value is missing"),
        ("(model == 'SVC'", ") is missing"),
        ("model == 'SVC' lr", "cannot read lr"),
        ("model ; 1", "cannot read ;"),
        ("__proto__ == 1", "there is no __proto__"),
    ],
)
def test_wrong_expressions(open_page: Open, small: Path, expression: str, message: str) -> None:
    page = open_page(small)
    page.get_by_label("Expression").fill(expression)
    assert message in page.get_by_role("status").inner_text()
    assert page.get_by_label("Expression").get_attribute("aria-invalid") == "true"
    assert page.locator("#rows tbody tr").count() == 24
    page.get_by_label("Expression").fill("")
    assert "All 24 experiments" in page.get_by_role("status").inner_text()


def test_search_and_choice(open_page: Open, small: Path) -> None:
    page = open_page(small)
    page.get_by_label("Search").fill("perceptron WINE")
    assert page.locator("#rows tbody tr").count() == 4
    choose(page, "#choose", "lr", "0.1")
    assert page.locator("#rows tbody tr").count() == 1
    page.get_by_label("Search").fill("no such thing")
    assert "No experiment is like that." in page.locator("#table").inner_text()
    page.get_by_role("button", name="Show all").click()
    assert page.locator("#rows tbody tr").count() == 24
    assert page.locator("#choose").get_by_label("lr").input_value() == ""


def test_many_rows_come_as_one_scrolls(open_page: Open, large: Path) -> None:
    page = open_page(large)
    assert page.locator("#rows tbody tr").count() == 100
    assert "The first 100 of 2,000 rows." in page.locator("#table").inner_text()
    page.locator("#rows").evaluate("box => { box.scrollTop = box.scrollHeight; }")
    page.wait_for_function("document.querySelectorAll('#rows tbody tr').length === 200")
    top = page.locator("#rows").bounding_box()["y"]
    head = page.locator("#rows thead th").first.bounding_box()["y"]
    assert head == pytest.approx(top, abs=3)
    page.get_by_label("Search").fill("512")
    assert "of 2,000 experiments" in page.get_by_role("status").inner_text()
    page.get_by_role("columnheader", name="result").get_by_role("button").click()
    numbers = [float(text) for text in cells(page, "result")]
    assert numbers == sorted(numbers)


# -- figures ---------------------------------------------------------------------------------------


def test_pictures_by_parameter(open_page: Open, small: Path) -> None:
    page = open_page(small)
    figure, caption = "#by-parameter", page.locator("#by-parameter figcaption")
    # One numeric parameter: lines along it.
    assert page.locator(figure).get_by_label("picture").input_value() == "lines"
    assert page.locator(f"{figure} canvas").first.is_visible()
    assert "Mean result.accuracy by lr and model." in caption.inner_text()
    assert "2 of 24 experiments have no such value." in caption.inner_text()
    choose(page, figure, "picture", "heat map")
    choose(page, figure, "columns", "data")
    choose(page, figure, "rows", "model")
    assert page.locator(f"{figure} thead th").all_inner_texts() == ["model \\ data", "wine",
                                                                    "digits"]  # fmt: skip
    assert page.locator(f"{figure} tbody th").all_inner_texts() == ["SVC", "Perceptron", "Forest"]
    assert page.locator(f"{figure} tbody td").first.inner_text() == "0.8000"
    choose(page, figure, "of", "runtime")
    assert "Mean runtime by data and model." in caption.inner_text()
    choose(page, figure, "picture", "bars")
    assert page.locator(f"{figure} .bar").count() == 6
    choose(page, figure, "within each", "none")
    assert page.locator(f"{figure} .bar").count() == 2
    page.get_by_label("Expression").fill("data == 'wine'")
    settle(page)
    assert page.locator(f"{figure} .bar").count() == 1


def test_a_random_search_is_shown_as_dots(open_page: Open, tmp_path: Path) -> None:
    grid = [{"lr": 10 ** -(1 + n * 0.618 % 3), "width": 16 + n * 7 % 500} for n in range(1500)]
    grid += [{"lr": 0.5, "width": math.nan}]

    def run(config: Mapping[str, Any]) -> tuple[Any, Any, str]:
        return {"accuracy": 1 - abs(math.log10(config["lr"]) + 2) / 4}, {}, ""

    page = open_page(report_of(fill(tmp_path / "store", grid, run), tmp_path / "report.html"))
    caption = page.locator("#by-parameter figcaption")
    assert caption.inner_text() == "Result.accuracy by lr and width. Dots are single experiments."
    for choice in ("bars", "heat map"):
        choose(page, "#by-parameter", "picture", choice)
        assert "Only the first" in caption.inner_text()


def test_the_choice_of_figures_keeps_the_focus(open_page: Open, small: Path) -> None:
    page = open_page(small)
    picture = page.locator("#by-parameter").get_by_label("picture")
    picture.focus()
    page.keyboard.press("ArrowDown")
    settle(page)
    assert page.evaluate("document.activeElement.tagName") == "SELECT"


def test_curves_over_steps(open_page: Open, small: Path) -> None:
    page = open_page(small)
    figure, caption = "#over-steps", page.locator("#over-steps figcaption")
    assert "Loss over steps, 22 experiments. A line is an experiment." in caption.inner_text()
    assert page.locator(f"{figure} .legend li").all_inner_texts() == ["model:", "SVC", "Perceptron",
                                                                      "Forest"]  # fmt: skip
    choose(page, figure, "show", "median of each colour")
    assert "Lines are medians; the shaded part" in caption.inner_text()
    choose(page, figure, "metric", "rate")
    assert "Rate over steps" in caption.inner_text()
    page.locator(figure).get_by_label("logarithmic").check()
    page.get_by_label("Expression").fill("status == 'failed'")
    settle(page)
    assert "There is nothing to draw" in page.locator(figure).inner_text()


def test_the_pointer_tells_what_a_line_is(open_page: Open, small: Path) -> None:
    page = open_page(small)
    choose(page, "#over-steps", "colour by", "lr")
    page.get_by_label("Expression").fill("model == 'SVC' and data == 'wine' and lr == 0.1")
    settle(page)
    over = page.locator("#over-steps .u-over")
    over.scroll_into_view_if_needed()
    box = over.bounding_box()
    before = page.locator("#over-steps canvas").first.screenshot()
    page.mouse.move(box["x"] + box["width"] * 0.02, box["y"] + box["height"] * 0.06)
    text = page.locator("#over-steps .tip").inner_text()
    assert "model = SVC, lr = 0.1, data = wine" in text
    assert "step 0: loss = 1.010" in text
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 20, steps=5)
    page.mouse.up()
    page.mouse.move(0, 0)
    settle(page)
    assert page.locator("#over-steps canvas").first.screenshot() != before  # zoomed in
    over.dblclick()
    settle(page)
    page.mouse.move(0, 0)
    assert page.locator("#over-steps canvas").first.screenshot() == before


def test_many_curves(open_page: Open, large: Path) -> None:
    page = open_page(large)
    assert "2,000 experiments. Lines are medians" in page.locator("#over-steps").inner_text()
    choose(page, "#over-steps", "show", "each experiment")
    assert "A line is an experiment." in page.locator("#over-steps").inner_text()


# -- everywhere ------------------------------------------------------------------------------------


def test_texts_of_users_are_inert(open_page: Open, tmp_path: Path) -> None:
    grid = [{EVIL: EVIL, "__proto__": 1, "x": n} for n in range(3)]
    grid += [{EVIL: value, "x": 9} for value in (math.nan, math.inf, 10**40, None, True, "\ud800")]

    def run(config: Mapping[str, Any]) -> tuple[Any, Any, str]:
        series = {EVIL: [(0, 1e308), (1, math.nan), (2, -1e308)], "constructor": [(0, 1), (1, 1)]}
        return {EVIL: config[EVIL], "toString": math.inf}, series, EVIL if config["x"] == 1 else ""

    page = open_page(report_of(fill(tmp_path / "store", grid, run), tmp_path / "report.html"))
    for choice in ("heat map", "bars"):
        choose(page, "#by-parameter", "picture", choice)
    for metric in (EVIL.replace("\n", " "), "constructor"):
        choose(page, "#over-steps", "metric", metric)
    page.get_by_label("Search").fill("alert(1)")
    page.get_by_label("Expression").fill("x == 1")
    assert page.locator("#rows tbody tr").count() == 1
    assert page.locator("script").count() == 3
    assert page.locator("img").count() == 0
    assert "alert(1)" in page.locator("#failures h3").inner_text()


def test_the_page_asks_for_nothing_even_if_it_is_told_to(browser: Any, small: Path) -> None:
    page = browser.new_page()  # which is to complain
    page.goto(small.as_uri())
    blocked = page.evaluate(
        """async () => {
            const found = [];
            document.addEventListener(
                "securitypolicyviolation", event => found.push(event.violatedDirective));
            const image = new Image();
            image.src = "https://example.invalid/x.png";
            const script = document.createElement("script");
            script.textContent = "window.ran = true";
            document.body.append(image, script);
            await fetch("https://example.invalid/").catch(() => {});
            await new Promise(done => setTimeout(done, 100));
            return [...found.map(d => d.replace("-elem", "")).sort(), window.ran ?? false];
        }"""
    )
    assert blocked == ["connect-src", "img-src", "script-src", False]
    page.close()


def test_light_and_dark(open_page: Open, small: Path) -> None:
    looks = {}
    for scheme in ("light", "dark"):
        page = open_page(small, color_scheme=scheme)
        looks[scheme] = page.evaluate("getComputedStyle(document.body).color")
        looks[f"{scheme} canvas"] = page.locator("#over-steps canvas").first.screenshot()
    assert looks["light"] == "rgb(31, 31, 29)"
    assert looks["dark"] == "rgb(229, 226, 218)"
    assert looks["light canvas"] != looks["dark canvas"]
    page.emulate_media(color_scheme="light")
    settle(page)
    assert page.locator("#over-steps canvas").first.screenshot() == looks["light canvas"]


def test_print_is_light_and_whole(open_page: Open, small: Path, tmp_path: Path) -> None:
    page = open_page(small, color_scheme="dark")
    state = page.evaluate(
        """() => {
            dispatchEvent(new Event("beforeprint"));
            const found = [
                getComputedStyle(document.body).color,
                document.querySelectorAll("#failures details[open]").length,
            ];
            dispatchEvent(new Event("afterprint"));
            return [...found, document.querySelectorAll("#failures details[open]").length];
        }"""
    )
    assert state == ["rgb(31, 31, 29)", 1, 0]
    page.emulate_media(media="print")
    assert not page.get_by_label("Search").is_visible()
    assert page.get_by_text("All 24 experiments.").is_visible()
    assert not page.locator("#by-parameter .controls").is_visible()
    box = page.locator("#rows").evaluate("box => [box.scrollHeight, box.clientHeight]")
    assert box[0] == box[1]
    assert page.pdf(format="A4").startswith(b"%PDF")


@pytest.mark.parametrize("name", ["small", "large"])
def test_on_a_phone(open_page: Open, request: pytest.FixtureRequest, name: str) -> None:
    page = open_page(request.getfixturevalue(name), PHONE)
    wide = "document.documentElement.scrollWidth"
    assert page.evaluate(wide) == 375
    assert not page.get_by_label("Search").is_visible()
    page.get_by_text("Choose experiments").click()
    assert page.get_by_label("Search").is_visible()
    for choice in ("heat map", "bars", "lines"):
        choose(page, "#by-parameter", "picture", choice)
        assert page.evaluate(wide) == 375
    assert page.locator("#rows").evaluate("box => box.scrollWidth > box.clientWidth")


def test_without_scripts(open_page: Open, browser: Any, small: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(small.as_uri())
    text = page.locator("body").inner_text()
    assert "Table and figures need JavaScript" in text
    assert "MemoryError: CUDA out of memory" in text
    context.close()


def test_names_and_roles(open_page: Open, small: Path) -> None:
    page = open_page(small)
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("input, select, button")]
            .filter(each => !each.closest("label") && !each.textContent.trim()).length"""
    )
    assert unnamed == 0
    assert page.locator("#rows th[scope=col]").count() == page.locator("#rows th").count()
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.locator("#over-steps [role=img]").get_attribute("aria-label")
