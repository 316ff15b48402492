import i18next from "i18next";
import { expect, test } from "vitest";
import { problemOf } from "../api/problem";
import { learn } from "../app/sentences";
import { fieldMessages, placeErrors } from "./fields";

const problem = (message: string, fields: Record<string, string>, hint?: string) => problemOf(422, { error: { code: "invalid", message, hint, details: { fields } } }, null);

test("a message of a field is shown as it is, a code as its sentence", () => {
  expect(fieldMessages(problem("The request is not valid: name: too long.", { name: "too long" }))).toEqual({ name: "too long" });
  expect(fieldMessages(problem("There is a user 'ann' already.", { name: "taken" }, "Choose another name."))).toEqual({ name: "There is a user 'ann' already. Choose another name." });
  expect(fieldMessages(new Error("offline"))).toEqual({});
});

test("errors go to the form's own fields, and what is about none of them is told elsewhere", () => {
  const set: unknown[] = [];
  const form = { getFieldsValue: () => ({ name: "a", expires: null }), setFields: (fields: unknown[]) => void set.push(...fields) };
  expect(placeErrors(form as never, problem("x: in the past", { expires_at: "in the past" }), { expires_at: "expires" })).toBe(true);
  expect(set).toEqual([{ name: "expires", errors: ["in the past"] }]);
  expect(placeErrors(form as never, problem("x: bad", { other: "bad" }))).toBe(false);
  expect(placeErrors(form as never, new Error("offline"))).toBe(false);
});

test("the platform's words at a field are said in the reader's language", async () => {
  await i18next.init({ lng: "zh-TW", resources: {} });
  learn("zh-TW", { sentences: { "There is a user {name} already.": "已有使用者 {name}。", "Choose another name.": "請換一個名稱。" }, words: {} });
  const set: unknown[] = [];
  const form = { getFieldsValue: () => ({ name: "a" }), setFields: (fields: unknown[]) => void set.push(...fields) };
  placeErrors(form as never, problem("There is a user 'ann' already.", { name: "taken" }, "Choose another name."));
  expect(set).toEqual([{ name: "name", errors: ["已有使用者「ann」。請換一個名稱。"] }]);
});
