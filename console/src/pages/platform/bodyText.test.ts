import { expect, test } from "vitest";
import { laidOut, pieces } from "./bodyText";

test("what was taken out is told apart from the rest", () => {
  expect(pieces("to [redacted:email], [redacted:secret]")).toEqual([
    { text: "to ", taken: false },
    { text: "[redacted:email]", taken: true },
    { text: ", ", taken: false },
    { text: "[redacted:secret]", taken: true },
  ]);
  expect(pieces("")).toEqual([]);
});

test("JSON is laid out, and what is cut stays", () => {
  expect(laidOut('{"a":1}')).toBe('{\n  "a": 1\n}');
  expect(laidOut('{"a":"cu')).toBe('{"a":"cu');
});
