// Judgements of hits: relevant or not, sent at once, shown wherever the document stands, changed by the other button.
import { post, user } from "./api.js";
import { say } from "./page.js";

const SAID = { relevant: "relevant", not_relevant: "not relevant" };
const marks = new Map(); // of a query and a document -> {kind, sent, note, sending}

const nameOf = ({ application, query, id }) => JSON.stringify([application, query, id]);

/** hit: an element whose dataset tells application, query, id and request. */
export function mark(hit, kind) {
  const name = nameOf(hit.dataset);
  const known = marks.get(name) ?? { kind: null, sent: null, note: "", sending: Promise.resolve() };
  if (known.kind === kind) return;
  marks.set(name, known);
  known.kind = kind;
  tell(name, known, "sending…");
  const { application, request, id } = hit.dataset;
  const body = { application, request_id: request, document_id: id, kind, user };
  // One after the other, so that the last word of the reader is the last that the service hears.
  known.sending = known.sending.then(() => send(name, known, body));
}

async function send(name, known, body) {
  try {
    await post("v1/feedback", body);
    known.sent = body.kind;
    if (known.kind === body.kind) tell(name, known, `sent: ${SAID[body.kind]}`);
  } catch (problem) {
    if (known.kind !== body.kind) return; // changed meanwhile: the next one tells
    known.kind = known.sent;
    tell(name, known, ["not sent", problem.message, ...(problem.sentences ?? [])].join(": "));
  }
}

function tell(name, known, note) {
  known.note = note;
  const hits = [...document.querySelectorAll(".hit")].filter(({ dataset }) => nameOf(dataset) === name);
  hits.forEach(paint);
  if (hits.length) say(`${hits[0].querySelector(".title").textContent}: ${note}`);
}

/** Shows on a hit what is known of it. */
export function paint(hit) {
  const { kind, note } = marks.get(nameOf(hit.dataset)) ?? { kind: null, note: "" };
  for (const button of hit.querySelectorAll("[data-kind]")) {
    button.setAttribute("aria-pressed", button.dataset.kind === kind);
  }
  hit.querySelector(".sent").textContent = note;
}
