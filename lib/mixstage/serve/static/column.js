// A list of hits, what made it, and how long that took.
import { post, Problem, user } from "./api.js";
import { hitOf } from "./hit.js";
import { copyOf, element } from "./page.js";
import { wordsOf } from "./words.js";

const ROLES = {
  live: ["live", "what the application's users get"],
  canary: ["canary", "tried out on a share of the users, of whom you are one"],
  interleave: ["interleaved", "hits of the live and of the tried composition take turns"],
  named: ["named", "asked for by its name"],
};
const SHOWN_OF_DIGEST = 12; // characters, as in the names of Serve's applications

export class Column {
  /** changed: called whenever something else is shown. */
  constructor(name, changed) {
    this.section = copyOf("column");
    this.section.setAttribute("aria-label", name);
    this.changed = changed;
    this.answer = null;
    this.asked = ""; // what the column shows or waits for
    this.stop = new AbortController();
    this.retry = null;
    this.part("again").addEventListener("click", () => {
      this.section.focus({ preventScroll: true });
      this.retry();
    });
  }

  part(name) {
    return this.section.querySelector(`.${name}`);
  }

  get hits() {
    return [...this.section.querySelectorAll(".hit")];
  }

  get state() {
    return this.section.dataset.state;
  }

  get isBusy() {
    return this.section.getAttribute("aria-busy") === "true";
  }

  clear() {
    this.stop.abort();
    this.asked = "";
    this.answer = null;
    this.part("hits").replaceChildren();
    this.turn("idle");
  }

  /** request: of POST /v1/search. A newer search, and nothing else, ends this one; the same is not asked twice unless `again`. */
  async search(request, again = false) {
    const asked = JSON.stringify(request);
    if (asked === this.asked && !again && this.state !== "problem") return;
    this.stop.abort();
    this.stop = new AbortController();
    const { signal } = this.stop;
    this.asked = asked;
    this.turn(this.state === "shown" ? "shown" : "waiting", true);
    try {
      const answer = await post("v1/search", { ...request, user }, signal);
      if (!signal.aborted) this.show(answer, request);
    } catch (problem) {
      if (!signal.aborted) this.fail(problem, () => this.search(request));
    }
  }

  show(answer, { application, query }) {
    this.answer = answer;
    const words = wordsOf(query);
    const asked = { application, query, request: answer.request_id };
    this.part("hits").replaceChildren(...answer.hits.map((found, at) => hitOf(found, at + 1, words, asked)));
    this.part("none").textContent = `Nothing was found for “${query}”.`;
    this.part("none").hidden = answer.hits.length > 0;
    this.showMaking(answer);
    this.turn("shown");
  }

  showMaking({ role, composition, release, generation, request_id: request, timings }) {
    const [name, meaning] = ROLES[role] ?? [role, ""];
    this.part("role").textContent = name;
    this.part("role").title = meaning;
    this.part("role").dataset.role = role;
    this.part("composition").textContent = composition;
    const short = element("code", "", String(generation ?? "").slice(0, SHOWN_OF_DIGEST) || "of several retrievers");
    short.title = generation ?? "";
    const facts = [["release", release], ["generation", short], ["request", element("code", "", request)]];
    this.part("facts").replaceChildren(...facts.map(([what, value]) => element("span", "", `${what} `, value)));
    const { retrieve_ms: retrieve, rerank_ms: rerank, total_ms: total } = timings;
    this.part("phases").textContent = `${time(total)}: retrieval ${time(retrieve)}, reranking ${rerank ? time(rerank) : "none"}`;
  }

  /** The bar's full width stands for `longest` ms. */
  scaleTime(longest) {
    if (!this.answer) return;
    const { retrieve_ms: retrieve, rerank_ms: rerank } = this.answer.timings;
    this.part("retrieve").style.width = `${(100 * retrieve) / longest}%`;
    this.part("rerank").style.width = `${(100 * (rerank ?? 0)) / longest}%`;
  }

  /** retry: what "Try again" does. */
  fail(problem, retry) {
    this.stop.abort();
    this.retry = retry;
    if (!(problem instanceof Problem)) console.error(problem); // our own mistake
    this.answer = null;
    this.part("hits").replaceChildren();
    const told = [element("strong", "", problem.message)];
    told.push(...(problem.sentences ?? []).map((sentence) => element("p", "", sentence)));
    if (problem.request) told.push(element("p", "soft", "Request ", element("code", "", problem.request)));
    this.section.querySelector("[role=alert]").replaceChildren(...told);
    this.turn("problem");
  }

  turn(state, busy = false) {
    this.section.dataset.state = state;
    this.section.setAttribute("aria-busy", busy);
    this.section.hidden = state === "idle";
    this.part("problem").hidden = state !== "problem";
    this.changed();
  }
}

function time(ms) {
  return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
}
