// Draws every figure with Vega-Lite in the page's colours, and again when light turns to dark.
"use strict";
const dark = matchMedia("(prefers-color-scheme: dark)");
const selects = [...document.querySelectorAll("select[data-param]")];
let views = [];

function theme() {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue("--" + name).trim();
  const [ink, soft, line, accent, paper] = ["ink", "soft", "line", "accent", "paper"].map(colour);
  const text = { labelColor: soft, titleColor: soft, labelFontSize: 12, titleFontSize: 12, titleFontWeight: 400 };
  return {
    background: null,
    font: "system-ui, sans-serif",
    view: { stroke: null },
    axis: { ...text, gridColor: line, domainColor: line, tickColor: line, labelLimit: 145 },
    axisY: { labelPadding: 6 },
    legend: { ...text, labelColor: ink, orient: "top", title: null, symbolStrokeWidth: 2, symbolOpacity: 1, columnPadding: 14 },
    range: {
      heatmap: [colour("low"), colour("high")],
      category: [1, 2, 3, 4, 5, 6, 7, 8].map((number) => colour("c" + number)),
    },
    mark: { color: accent },
    style: {
      winner: { color: accent, strokeWidth: 3 },
      incumbent: { color: ink, strokeWidth: 1.5, strokeDash: [4, 3] },
      cell: { stroke: paper, strokeWidth: 2 },
      value: { color: ink, fontSize: 12 },
      note: { color: ink, opacity: 0.7, fontSize: 9.5 },
      zero: { color: soft, strokeWidth: 1 },
      margin: { color: colour("bad"), strokeWidth: 1, strokeDash: [3, 3] },
      span: { color: ink, strokeWidth: 1.5, opacity: 0.7 },
      quiet: { color: soft, opacity: 0.4 },
      blank: { color: paper },
      front: { color: accent, strokeWidth: 1.5 },
      cut: { color: soft, strokeDash: [3, 3] },
      loss: { color: soft, strokeWidth: 1.5 },
    },
  };
}

async function draw() {
  views.forEach(({ view }) => view.finalize());
  const figures = [...document.querySelectorAll("figure.chart")];
  views = await Promise.all(
    figures.map(async (figure) => {
      const spec = JSON.parse(figure.querySelector("script").textContent);
      const options = { mode: "vega-lite", renderer: "svg", actions: false, config: theme() };
      const tooltip = { theme: dark.matches ? "dark" : "light" };
      const { view } = await vegaEmbed(figure.querySelector(".plot"), spec, { ...options, tooltip });
      return { view, params: (spec.params ?? []).map((param) => param.name) };
    }),
  );
  await Promise.all(selects.map(choose));
  document.body.dataset.drawn = figures.length;
}

function choose({ dataset, value }) {
  const asked = views.filter(({ params }) => params.includes(dataset.param));
  return Promise.all(asked.map(({ view }) => view.signal(dataset.param, value).runAsync()));
}

selects.forEach((select) => select.addEventListener("change", () => choose(select)));
dark.addEventListener("change", draw);
draw();
