// Small words of the page itself.
export const byId = (id) => document.getElementById(id);

/** A copy of the first element of a <template>. */
export const copyOf = (id) => byId(id).content.firstElementChild.cloneNode(true);

export function element(tag, kind, ...children) {
  const made = document.createElement(tag);
  if (kind) made.className = kind;
  made.append(...children);
  return made;
}

/** Selects a value, as an option of its own if the select has none of it. */
export function choose(select, value, label = value) {
  if (![...select.options].some((option) => option.value === value)) select.add(new Option(label, value));
  select.value = value;
}

/** Tells those who can't see it; the same sentence twice is told twice. */
export function say(sentence) {
  byId("said").replaceChildren(element("span", "", sentence));
}

/** sessionStorage or localStorage; null in a browser that keeps nothing. */
export function storage(name) {
  try {
    return window[name];
  } catch {
    return null;
  }
}
