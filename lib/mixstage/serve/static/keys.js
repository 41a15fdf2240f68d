// The keyboard: every key does what a button or a click does.
import { twinOf } from "./comparison.js";
import { mark } from "./marks.js";
import { byId, storage } from "./page.js";

const OFF_AS = "mixstage-keys-off";
const q = byId("q");
const dialog = byId("keys");
const on = byId("keys-on");
const browser = storage("localStorage");

/** toggle: starts and ends the comparison. */
export function listen(toggle) {
  const keys = {
    "/": () => {
      q.focus();
      q.select();
    },
    "?": () => dialog.showModal(),
    c: toggle,
    j: () => step(1),
    k: () => step(-1),
    h: cross,
    l: cross,
    r: () => onHit((hit) => mark(hit, "relevant")),
    n: () => onHit((hit) => mark(hit, "not_relevant")),
  };
  const arrows = { ArrowDown: () => step(1), ArrowUp: () => step(-1), ArrowLeft: cross, ArrowRight: cross };
  document.addEventListener("keydown", (event) => {
    const { key, target } = event;
    if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing || dialog.open) return;
    const act = isWriting(target) ? leaving(event) : (on.checked && keys[key]) || (currentHit() && arrows[key]);
    if (!act) return;
    event.preventDefault(); // arrows don't scroll, "/" is not written
    act();
  });
}

const isWriting = (target) => target.matches("input:not([type=checkbox]), select, textarea");

/** The arrow that leads out of the query: down, behind its last letter. */
function leaving({ key, target }) {
  const atEnd = target === q && q.selectionStart === q.value.length;
  return key === "ArrowDown" && atEnd && hits().length ? () => step(1) : null;
}

const hits = () => [...document.querySelectorAll(".hit")];
const currentHit = () => document.activeElement.closest(".hit");
const onHit = (act) => currentHit() && act(currentHit());

/** To the next or previous hit of the list; above the first one is the query. */
function step(by) {
  const hit = currentHit();
  const list = hit ? [...hit.closest(".hits").querySelectorAll(".hit")] : hits();
  const at = hit ? list.indexOf(hit) + by : 0;
  if (at < 0) q.focus();
  else reach(list[at]);
}

/** To the same document in the other list, or to what stands in its place. */
function cross() {
  const hit = currentHit();
  if (!hit) return;
  const others = hits().filter((each) => each.closest(".hits") !== hit.closest(".hits"));
  reach(twinOf(hit) ?? others[Math.min(hit.dataset.place, others.length) - 1]);
}

/** Moves to a hit, if there is one. */
export function reach(hit) {
  if (!hit) return;
  hit.focus({ preventScroll: true });
  hit.scrollIntoView({ block: "nearest" });
}

byId("help").addEventListener("click", () => dialog.showModal());
on.checked = !browser?.getItem(OFF_AS);
on.addEventListener("change", () => {
  if (on.checked) browser?.removeItem(OFF_AS);
  else browser?.setItem(OFF_AS, "off");
});
