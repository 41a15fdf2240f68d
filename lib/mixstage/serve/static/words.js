// Marks the words of a query in a text. The browser's segmenter finds words, so Chinese has them as well, and no
// query is ever read as a pattern.
const segmenter = new Intl.Segmenter(undefined, { granularity: "word" });
const LETTERS_IN_COMMON = 4; // that two forms of a word share at least
const ENDING = 3; // letters that one form may have more

// Words that stand in most questions and say nothing of a document.
const COMMON = new Set(
  ("about after all and any are because been before being but can could did does each every for from get got had has " +
    "have her him his how into its just may more must never nobody not now once one only other our out over she should " +
    "some such than that the their them then there these they this those through too under upon was were what when " +
    "where which while who whom whose why will with within without would you your").split(" "),
);

const fold = (word) => word.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();

/** The telling words of a query, folded: no common or very short ones, unless there are no others. */
export function wordsOf(query) {
  const segments = [...segmenter.segment(query)].filter((segment) => segment.isWordLike);
  const all = [...new Set(segments.map(({ segment }) => fold(segment)))];
  const telling = all.filter((word) => !COMMON.has(word) && /\p{N}|.{3}|[^\p{Script=Latin}]{2}/u.test(word));
  return telling.length ? telling : all;
}

/** A text as nodes, the words of a query in <mark>. */
export function marked(text, words) {
  const nodes = document.createDocumentFragment();
  let plain = "";
  for (const { segment, isWordLike } of segmenter.segment(text)) {
    if (isWordLike && words.some((word) => alike(word, fold(segment)))) {
      const mark = document.createElement("mark");
      mark.textContent = segment;
      nodes.append(plain, mark);
      plain = "";
    } else plain += segment;
  }
  nodes.append(plain);
  return nodes;
}

function alike(one, other) {
  const [short, long] = one.length < other.length ? [one, other] : [other, one];
  if (short === long) return true;
  return short.length >= LETTERS_IN_COMMON && !COMMON.has(short) && long.length - short.length <= ENDING && long.startsWith(short);
}
