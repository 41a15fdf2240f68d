// The search page. Its address is its state: whoever gets the address gets the search.
import { Problem } from "./api.js";
import * as applications from "./applications.js";
import { Column } from "./column.js";
import { light, overlap, pair, twinOf } from "./comparison.js";
import { listen, reach } from "./keys.js";
import { mark } from "./marks.js";
import { byId, choose } from "./page.js";

const HITS = 10;
const FIELDS = ["application", "q", "compare", "filter"]; // ids of the form's fields, and names in the address
const form = byId("search");
const [first, second] = [new Column("Hits", update), new Column("Compared hits", update)];
byId("columns").append(first.section, second.section);
let place = read();
let preset = ""; // the application if the address names none
let compared = ""; // the composition that was compared with last

function read() {
  const told = new URLSearchParams(location.search);
  return Object.fromEntries(FIELDS.map((field) => [field, told.get(field) ?? ""]));
}

function address(place) {
  const told = new URLSearchParams(FIELDS.filter((field) => place[field]).map((field) => [field, place[field]]));
  return `?${told}`;
}

async function start() {
  try {
    preset = await applications.load();
  } catch (problem) {
    return first.fail(problem, start);
  }
  run();
}

/** To another place; `again` asks anew what is shown already. */
function go(next, again = false) {
  if (address(next) !== address(place)) history.pushState(null, "", address(next));
  place = next;
  run(again);
}

/** Writes the place into the form: at the start, and where the browser goes back to. */
function fill() {
  for (const field of FIELDS) {
    if (byId(field).matches("select")) choose(byId(field), place[field]);
    else byId(field).value = place[field];
  }
  byId("more").open ||= Boolean(place.filter);
}

function run(again = false) {
  place.application ||= preset;
  const { application, q: query, compare } = place;
  compared = compare || compared;
  document.title = [query, application, "mixstage"].filter(Boolean).join(" · ");
  document.body.classList.toggle("asked", Boolean(query));
  document.body.classList.toggle("comparing", Boolean(query && compare));
  applications.choose(application, compare);
  if (!query || !application) return [first, second].forEach((column) => column.clear());
  try {
    const filter = filterOf(place.filter);
    const request = { application, query, k: HITS, explain: true, ...(filter && { filter }) };
    first.search(request, again);
    if (compare) second.search({ ...request, composition: compare }, again);
    else second.clear();
  } catch (problem) {
    second.clear();
    first.fail(problem, run);
  }
}

function filterOf(text) {
  if (!text) return null;
  try {
    const filter = JSON.parse(text);
    if (filter?.constructor === Object) return filter;
  } catch {
    // told below, as what is JSON and no object
  }
  throw new Problem("The filter is not a JSON object", { sentences: [`Write e.g. ${byId("filter").placeholder}`] });
}

/** Whenever a column shows something else. */
function update() {
  const columns = [first, second].filter((column) => column.state !== "idle");
  const shown = columns.filter((column) => column.state === "shown");
  const longest = Math.max(...shown.map(({ answer }) => answer.timings.total_ms));
  for (const column of shown) column.scaleTime(longest);
  pair(first, second);
  const told = columns.some((column) => column.isBusy) ? "Searching…" : shown.length ? found(shown) : "";
  if (byId("status").textContent !== told) byId("status").textContent = told;
  if (first.answer && applications.isNews(first.answer)) refresh();
}

function found(columns) {
  const [one, other] = columns.map(({ answer }) => answer.hits.map(({ id }) => id));
  if (other) return overlap(one, other);
  return one.length === 1 ? "1 hit." : `${one.length || "No"} hits.`;
}

async function refresh() {
  await applications.load().catch(() => null); // the search that brought the news is there: the next one tries again
  applications.choose(place.application, place.compare);
}

function toggle() {
  const compare = place.compare ? "" : compared || applications.rival(first.answer?.composition);
  if (compare === place.compare) byId("status").textContent = "No other composition can answer right now.";
  else go({ ...written(), compare });
}

const written = () => Object.fromEntries(FIELDS.map((field) => [field, byId(field).value.trim()]));

form.addEventListener("submit", (event) => {
  event.preventDefault();
  go(written(), true);
});
byId("q").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  form.requestSubmit();
});
byId("application").addEventListener("change", () => {
  compared = "";
  go({ ...written(), compare: "" });
});
byId("compare").addEventListener("change", () => go(written()));
addEventListener("popstate", () => {
  place = read();
  fill();
  run();
});

const columns = byId("columns");
const hitAt = (event) => event.target.closest(".hit");
columns.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button?.dataset.kind) mark(hitAt(event), button.dataset.kind);
  if (button?.matches(".also")) reach(twinOf(hitAt(event)));
});
columns.addEventListener("pointerover", (event) => light(hitAt(event)));
columns.addEventListener("pointerleave", () => light(document.activeElement.closest(".hit")));
columns.addEventListener("focusin", (event) => light(hitAt(event)));
listen(toggle);
fill();
if (!place.q) byId("q").focus();
start();
