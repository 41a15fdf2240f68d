// What can be searched: the applications, where they stand, and the compositions that can answer.
import { get } from "./api.js";
import { byId, choose as select, element } from "./page.js";

const NONE = { live: "", trial: null, available: [] };
const applicationSelect = byId("application");
const compareSelect = byId("compare");
let standings = {};
let of = null; // the application whose compositions are loaded
let loading = null; // them, promised
let running = NONE; // them
let turns = 0;

const TRIALS = {
  canary: (share) => `answers ${share} of the users`,
  shadow: (share) => `answers unseen copies of ${share} of the queries`,
  interleave: (share) => `takes turns with the live one in the lists of ${share} of the users`,
};

/** Reads the applications; returns the first one's name, or "". */
export async function load() {
  standings = await get("v1/applications");
  of = null; // what runs may be another as well
  const names = Object.keys(standings);
  applicationSelect.replaceChildren(...names.map((name) => new Option(label(name), name)));
  applicationSelect.disabled = !names.length;
  return names[0] ?? "";
}

const label = (name) => (standings[name].release ? name : `${name} (no release)`);

/** Shows where an application stands, and the compositions to compare with; `rival` is one of them, or "". */
export async function choose(name, rival) {
  select(applicationSelect, name);
  select(compareSelect, rival);
  tellStanding(name);
  const turn = ++turns;
  if (of !== name) [of, loading] = [name, loadCompositions(name)];
  const told = await loading;
  if (turn !== turns) return; // another one was chosen meanwhile
  running = told;
  const { live, trial, available } = told;
  const note = (each) => (each === live ? " (live)" : each === trial ? " (on trial)" : "");
  compareSelect.replaceChildren(new Option("nothing", ""), ...available.map((each) => new Option(each + note(each), each)));
  select(compareSelect, rival, `${rival} (not running)`);
  compareSelect.disabled = compareSelect.length === 1;
}

async function loadCompositions(name) {
  if (!standings[name]?.release) return NONE;
  try {
    return await get(`v1/compositions/${encodeURIComponent(name)}`);
  } catch (problem) {
    of = null; // the next one tries again
    byId("standing").append(`What can be compared is not known: ${problem.message}.`);
    return NONE;
  }
}

/** The composition that is most worth comparing with the shown one: the tried one, the live one, any; or "". */
export function rival(shown) {
  const { live, trial, available } = running;
  return [trial, live, ...available].find((name) => name && name !== (shown ?? live)) ?? "";
}

/** Whether an answer comes from a release that was not known: a promotion since the page was loaded. */
export const isNews = ({ application, role, release }) => role === "live" && release !== standings[application]?.release;

function tellStanding(name) {
  const told = standings[name] ? sentences(name, standings[name]) : [];
  if (!Object.keys(standings).length) told.push(["", "Nothing is released yet: ", "mixstage release promote", " does it."]);
  byId("standing").replaceChildren(...told.map(([kind, before, code = "", after = ""]) => {
    return element("span", kind, before, ...(code ? [element("code", "", code)] : []), after, " ");
  }));
}

/** [class, words, composition, words] each. */
function sentences(name, { release, composition, wanted, trial }) {
  const told = [release ? ["live", "Live: ", composition, `, release ${release}.`] : ["", `No release of ${name} answers yet.`]];
  if (wanted) told.push(["", `Release ${wanted.release} is wanted, and not answering yet: `, wanted.composition, "."]);
  if (trial) {
    const share = trial.share === null ? "a part" : `${Math.round(1000 * trial.share) / 10} %`;
    told.push(["", `On trial (${trial.action}): `, trial.composition, ` ${TRIALS[trial.action]?.(share) ?? ""}.`]);
  }
  return told;
}
