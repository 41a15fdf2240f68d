// One hit: what was found, where each phase put it, what the reader thinks of it.
import { paint } from "./marks.js";
import { copyOf, element } from "./page.js";
import { marked } from "./words.js";

/** found: a hit of an answer; place: from 1; words: of the query. asked: {application, query, request}, for marks. */
export function hitOf(found, place, words, asked) {
  const item = copyOf("hit");
  const hit = item.firstElementChild;
  const part = (name) => hit.querySelector(`.${name}`);
  Object.assign(hit.dataset, { ...asked, id: found.id, place });
  hit.setAttribute("aria-label", `${place}: ${found.title || found.id}`);
  part("place").textContent = place;
  part("title").replaceChildren(marked(found.title || found.id, words));
  part("text").replaceChildren(marked(found.text ?? "", words));
  part("id").textContent = found.id;
  part("score").replaceChildren(element("span", "unseen", "score "), number(found.score));
  part("ranks").replaceChildren(...path(found.ranks, found.scores));
  paint(hit);
  return item;
}

function path(ranks, scores) {
  if (!ranks) return [];
  const { retrieval, reranking = null } = ranks;
  const parts = phase("retrieved", retrieval, scores?.retrieval);
  if (reranking === null) return parts;
  return [...parts, " → ", ...phase("reranked", reranking, scores?.reranking), " ", move(retrieval - reranking)];
}

function phase(name, rank, score = null) {
  return [`${name} `, element("b", "", rank), ...(score === null ? [] : [` (${number(score)})`])];
}

function move(places) {
  if (!places) return element("span", "same", element("span", "", "="), element("span", "unseen", "unmoved"));
  const [kind, sign] = places > 0 ? ["up", "▲"] : ["down", "▼"];
  const seen = element("span", "", sign);
  seen.setAttribute("aria-hidden", true);
  return element("span", kind, seen, element("span", "unseen", `${kind} `), Math.abs(places));
}

/** Three or four figures are what a reader can compare. */
function number(score) {
  const digits = Number.isInteger(score) ? String(score) : score.toPrecision(Math.abs(score) < 1 ? 3 : 4);
  return digits.replace("-", "−");
}
