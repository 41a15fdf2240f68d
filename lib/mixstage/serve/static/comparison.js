// Two lists beside each other: which hits both hold.
export const twinOf = (hit) => all().find((other) => other !== hit && other.dataset.id === hit.dataset.id);

const all = () => [...document.querySelectorAll(".hit")];

/** Writes on each hit where the other list has it; nothing unless both lists are there. */
export function pair(first, second) {
  const both = first.state === "shown" && second.state === "shown";
  for (const [one, other] of [[first, second], [second, first]]) {
    const places = new Map(other.hits.map(({ dataset }) => [dataset.id, dataset.place]));
    for (const hit of one.hits) {
      const place = places.get(hit.dataset.id);
      const also = hit.querySelector(".also");
      also.textContent = `also at ${place}`;
      also.hidden = !both || !place;
      hit.querySelector(".only").hidden = !both || Boolean(place);
    }
  }
}

/** Lights a hit and its twin, and no other; null puts all lights out. */
export function light(hit) {
  const twin = hit && twinOf(hit);
  for (const each of all()) each.classList.toggle("lit", Boolean(twin) && (each === hit || each === twin));
}

/** What two lists of document ids have in common, as a sentence. */
export function overlap(first, second) {
  if (!first.length && !second.length) return "Neither list has a hit.";
  if (String(first) === String(second)) return "Both lists are the same, in the same order.";
  const shared = first.filter((id) => second.includes(id)).length;
  if (!shared) return "The lists have no hit in common.";
  const sizes = first.length === second.length ? `${shared} of ${first.length}` : `${shared} of ${first.length} and ${second.length}`;
  const kept = first.filter((id, at) => id === second[at]).length;
  const begin = first[0] === second[0] ? "both begin with the same" : "they begin with different ones";
  return `${sizes} hits are in both lists, ${kept || "none"} at the same place; ${begin}.`;
}
