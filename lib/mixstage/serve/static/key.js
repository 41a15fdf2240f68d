// The API key: asked for when the API wants one, kept by this tab only.
import { byId, storage } from "./page.js";

const KEPT_AS = "mixstage-key";
const tab = storage("sessionStorage");
const form = byId("key");
const value = byId("key-value");
let key = tab?.getItem(KEPT_AS) ?? null;
let asking = null; // {done, given}: one form, however many calls wait for it

export const kept = () => key;

/** Resolves when there is another key than `refused` (null: none was sent). why: the API's words. */
export function askFor(refused, why) {
  if (key !== refused) return Promise.resolve(); // another call has asked meanwhile
  asking ??= open(refused === null ? why : `This key was not accepted. ${why}`);
  return asking.done;
}

function open(why) {
  byId("key-why").textContent = why;
  form.hidden = false;
  value.focus();
  let given;
  const done = new Promise((resolve) => (given = resolve));
  return { done, given };
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  key = value.value.trim();
  tab?.setItem(KEPT_AS, key);
  value.value = "";
  form.hidden = true;
  byId("forget").hidden = false;
  byId("q").focus();
  const { given } = asking;
  asking = null;
  given();
});
byId("forget").addEventListener("click", () => {
  tab?.removeItem(KEPT_AS);
  location.reload();
});
byId("forget").hidden = key === null;
