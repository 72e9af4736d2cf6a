// The page is put together, and follows its reader, the screen and the printer.

const MOST_PRINTED = 500;

const figures = [];
const redraw = () => figures.forEach((figure) => figure.draw());

if (rows.length) {
  chooser();
  table.build();
  for (const figure of [byParameter, overSteps]) if (figure.build()) figures.push(figure);
  $("figures").hidden = !figures.length;
  say();
  table.show();
  redraw();
}
root.dataset.ready = "";

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
let width = innerWidth;
addEventListener("resize", () => {
  if (innerWidth !== width) {
    width = innerWidth;
    later(redraw);
  }
});

// On paper there is no scrolling, and nothing is dark.
let opened = [];
addEventListener("beforeprint", () => {
  root.dataset.printing = "";
  if (rows.length) table.more(Math.max(0, MOST_PRINTED - table.shown));
  opened = [...document.querySelectorAll("#failures h3 + p + details:not([open])")]; // one of each cause
  opened.forEach((details) => {
    details.open = true;
  });
  redraw();
});
addEventListener("afterprint", () => {
  delete root.dataset.printing;
  opened.forEach((details) => {
    details.open = false;
  });
  redraw();
});
