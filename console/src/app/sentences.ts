import i18next from "i18next";
import type { Language } from "./i18n";

/**
 * The server says its sentences in English; here they are said in the reader's language.
 *
 * A catalogue maps each English template of the server's sources to one of the language. A sentence is recognized by
 * its template, and what stands in the template's places is said in the language too, because sentences quote each
 * other. What no template knows, such as the words of an engine, stays as it is. tools/check_sentences.py proves that
 * the catalogues and the server's sources agree.
 */
export interface Catalogue {
  /** Templates that stand in the server's sources. */
  sentences: Record<string, string>;
  /** Single words that sentences are made of, and messages of libraries. */
  words: Record<string, string>;
}

interface Template {
  /** The longest piece of fixed text: a text without it cannot match. */
  anchor: string;
  pattern: RegExp;
  names: string[];
  kinds: string[];
  text: string;
  /** Begins with a place. */
  open: boolean;
  weight: number;
}

interface Speech {
  templates: Template[];
  quotes: [string, string];
  said: Map<string, string | null>;
}

const catalogues: Partial<Record<Language, () => Promise<{ default: Catalogue }>>> = {
  "zh-TW": () => import("../locales/server/zh-TW.json"),
  "zh-CN": () => import("../locales/server/zh-CN.json"),
};
const QUOTES: Partial<Record<Language, [string, string]>> = { "zh-TW": ["「", "」"], "zh-CN": ["“", "”"] };
/** What may stand in a place: a name is said as it is, a state and a text may be known to the language themselves. */
const KINDS: Record<string, string> = {
  number: "[\\d.,:%-]+",
  size: "-?[\\d.]+ (?:B|[KMGT]iB)",
  word: "'[^']*'|\"[^\"]*\"|\\S+?",
  name: "'[^']*'|\"[^\"]*\"|(?:(?![.!?:;] | \\()[\\s\\S])*?",
  state: "[\\w-]+",
  short: "[^:;.()]+",
  text: "[\\s\\S]*?",
};
const MOST_SAID = 2000;
const PLACE = /\{(\w+)(?::(\w+))?\}/;
const speeches: Partial<Record<Language, Speech>> = {};

/** Makes the language's sentences ready; English needs none. */
export async function loadSentences(language: Language): Promise<void> {
  const load = catalogues[language];
  if (load && !speeches[language]) learn(language, (await load()).default);
}

export function learn(language: Language, { sentences, words }: Catalogue): void {
  const templates = Object.entries({ ...words, ...sentences }).map(([english, text]) => compile(english, text));
  templates.sort((one, other) => other.weight - one.weight);
  speeches[language] = { templates, quotes: QUOTES[language] ?? ["'", "'"], said: new Map() };
}

/** A sentence of the server in the reader's language; the English text where the language does not know it. */
export function localized(text: string | null | undefined): string {
  const speech = speeches[i18next.language as Language];
  return (text && speech && say(speech, text)) || (text ?? "");
}

function compile(english: string, text: string): Template {
  // A split by a pattern with two groups: text, name, kind, text, ...
  const parts = bare(english).split(new RegExp(PLACE, "g"));
  const fixed = parts.filter((_, index) => index % 3 === 0);
  const names = parts.filter((_, index) => index % 3 === 1);
  const kinds = parts.filter((_, index) => index % 3 === 2).map((kind) => kind || "name");
  const source = fixed.map((part, index) => escape(part) + (index < kinds.length ? `(${KINDS[kinds[index] ?? ""]})` : "")).join("");
  const anchor = fixed.reduce((longest, part) => (part.length > longest.length ? part : longest), "").slice(1);
  return { anchor, pattern: new RegExp(`^${source}$`), names, kinds, text: text.replace(/^；/, "").replace(/。$/, ""), open: fixed[0] === "", weight: fixed.join("").length };
}

function escape(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

/** Without what holds sentences together: it is said by whoever quotes them. */
function bare(text: string): string {
  return text.trim().replace(/^; /, "").replace(/(?<!\.)\.{1,2}$/, "");
}

/** The text in the language; null when not even a part of it is known. */
function say(speech: Speech, text: string): string | null {
  const known = speech.said.get(text);
  if (known !== undefined) return known;
  if (speech.said.size > MOST_SAID) speech.said.clear();
  // A template that begins with a place fits too much, so a remark that is known goes first.
  const said = whole(speech, text, false) ?? remark(speech, text, true) ?? whole(speech, text, true) ?? pieces(speech, text);
  speech.said.set(text, said);
  return said;
}

function whole(speech: Speech, text: string, open: boolean): string | null {
  const core = bare(text);
  if (core === "") return null;
  const lead = text.trim().startsWith("; ") ? "；" : "";
  const ending = text.trim().endsWith(".") && !core.endsWith(".") ? "。" : "";
  // A sentence inside another one may begin with the other case.
  for (const form of [core, core.charAt(0).toLowerCase() + core.slice(1), core.charAt(0).toUpperCase() + core.slice(1)]) {
    for (const template of speech.templates) {
      if (template.open !== open || !form.includes(template.anchor)) continue;
      const match = template.pattern.exec(form);
      if (match) return lead + fill(speech, template, match) + ending;
    }
  }
  return null;
}

function fill(speech: Speech, template: Template, match: RegExpExecArray): string {
  const values = new Map(template.names.map((name, index) => [name, value(speech, match[index + 1] ?? "", template.kinds[index])]));
  const [open, close] = speech.quotes;
  return template.text.replace(new RegExp(PLACE, "g"), (_, name: string) => values.get(name) ?? "").replace(new RegExp(` ?(${open}[^${close}]*${close}) ?`, "g"), "$1");
}

function value(speech: Speech, text: string, kind = "name"): string {
  const quoted = /^'([^']*)'$|^"([^"]*)"$/.exec(text);
  if (quoted) return speech.quotes.join(value(speech, quoted[1] ?? quoted[2] ?? "", kind));
  if (/^'[^']*'(?:(?:, | or )'[^']*')+$/.test(text)) return text.replace(/'([^']*)'/g, speech.quotes.join("$1")).replace(/(, | or )/g, "、");
  // One word is the name of something, whatever it means elsewhere.
  if ((kind === "name" || kind === "word") && !text.includes(" ")) return text;
  return say(speech, text) ?? text;
}

/** Several sentences, a list, a sum, a remark in brackets, or a name and what is said of it. */
function pieces(speech: Speech, text: string): string | null {
  const head = /^([:;,])\s+([\s\S]+)$/.exec(text);
  if (head) return joined(speech, [head[2] ?? ""], "", { ":": "：", ";": "；", ",": "，" }[head[1] ?? ":"]);
  return (
    joined(speech, text.split(/(?<=[.!?])\s+(?=\S)/), "") ??
    joined(speech, apart(text, "; "), "；") ??
    joined(speech, apart(text, " + "), " + ") ??
    named(speech, text) ??
    remark(speech, text, false) ??
    joined(speech, apart(text, ", "), "、", "", " ")
  );
}

/** The parts between the marks that stand outside of brackets. */
function apart(text: string, mark: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let begin = 0;
  for (let at = 0; at < text.length; at += 1) {
    if (text[at] === "(") depth += 1;
    if (text[at] === ")") depth -= 1;
    if (depth > 0 || !text.startsWith(mark, at)) continue;
    parts.push(text.slice(begin, at));
    begin = at + mark.length;
  }
  return [...parts, text.slice(begin)];
}

/** `within`: what a part holds that is more than a name. */
function joined(speech: Speech, parts: string[], glue: string, before = "", within = ""): string | null {
  if (parts.length === 1 && !before) return null;
  const said = parts.map((part) => (part.includes(within) ? say(speech, part) : null));
  if (said.every((part) => part === null)) return null;
  return before + said.map((part, index) => part ?? parts[index]).join(glue);
}

function remark(speech: Speech, text: string, known: boolean): string | null {
  const end = bare(text);
  const start = opening(end);
  if (start < 1) return null;
  const inside = end.slice(start);
  const before = end.slice(0, start).trim();
  const inner = whole(speech, inside, false) ?? (known ? null : around(say(speech, inside.slice(1, -1))));
  if (known && inner === null) return null;
  const outer = say(speech, before);
  if (inner === null && outer === null) return null;
  return (outer ?? before) + (inner ?? around(inside.slice(1, -1))) + (end.length < text.trim().length ? "。" : "");
}

/** Where the bracket opens that closes at the end; -1 when there is none. */
function opening(text: string): number {
  if (!text.endsWith(")")) return -1;
  let depth = 0;
  for (let at = text.length - 1; at >= 0; at -= 1) {
    if (text[at] === ")") depth += 1;
    if (text[at] === "(") depth -= 1;
    if (depth === 0) return at;
  }
  return -1;
}

function around(text: string | null): string | null {
  return text === null ? null : `（${text}）`;
}

function named(speech: Speech, text: string): string | null {
  const match = /^([^:(]{1,80}): ([\s\S]+)$/.exec(text);
  const said = match && say(speech, match[2] ?? "");
  return said ? `${value(speech, match[1] ?? "")}：${said}` : null;
}
