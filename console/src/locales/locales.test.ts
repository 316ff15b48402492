import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import en from "./en.json";
import zhCN from "./zh-CN.json";
import zhTW from "./zh-TW.json";

type Texts = { [key: string]: string | Texts };

function flatten(texts: Texts, prefix = ""): Map<string, string> {
  const flat = new Map<string, string>();
  for (const [key, value] of Object.entries(texts)) {
    if (typeof value === "string") flat.set(prefix + key, value);
    else for (const [inner, text] of flatten(value, `${prefix}${key}.`)) flat.set(inner, text);
  }
  return flat;
}

const english = flatten(en);
const chinese = { "zh-TW": flatten(zhTW), "zh-CN": flatten(zhCN) };
/** The same word in every language: names and units. */
const NAMES = new Set(["source.huggingface", "source.modelscope", "source.field.url"]);
const placeholders = (text: string) => [...text.matchAll(/{{\w+}}/g)].map(([match]) => match).sort();

test.each(Object.entries(chinese))("%s has the keys of English, no more and no less", (_, texts) => {
  expect([...texts.keys()].sort()).toEqual([...english.keys()].sort());
});

test.each(Object.entries(chinese))("%s fills in the same values as English", (_, texts) => {
  for (const [key, text] of texts) expect(placeholders(text), key).toEqual(placeholders(english.get(key) ?? ""));
});

test.each(Object.entries(chinese))("%s is written in Chinese", (_, texts) => {
  const latin = [...texts].filter(([key, text]) => !NAMES.has(key) && !/\p{Script=Han}/u.test(text.replace(/{{\w+}}/g, "")) && /[A-Za-z]{3}/.test(text)).map(([key]) => key);
  expect(latin).toEqual(["play.tokenCount", "word.tokens"]);
});

test("simplified characters do not slip into the traditional texts", () => {
  const simplified = /[们时这应务实验码请输错设备载级络运选择导删显档处节]/u;
  expect([...chinese["zh-TW"]].filter(([, text]) => simplified.test(text)).map(([key]) => key)).toEqual([]);
});

test("the sources ask only for keys that exist", () => {
  const unknown: string[] = [];
  for (const file of sources("src")) {
    for (const [, key] of readFileSync(file, "utf8").matchAll(/\bt\("([\w.-]+)"/g)) {
      if (key && !english.has(key) && !english.has(`${key}_other`)) unknown.push(`${file}: ${key}`);
    }
  }
  expect(unknown).toEqual([]);
});

function sources(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? sources(path) : /\.tsx?$/.test(entry.name) ? [path] : [];
  });
}
