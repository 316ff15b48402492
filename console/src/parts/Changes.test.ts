import { expect, test } from "vitest";
import { linesOf } from "./Changes";

test("values are compared line by line, and nothing is a dash", () => {
  expect(linesOf(null)).toEqual(["–"]);
  expect(linesOf([])).toEqual(["[]"]);
  expect(linesOf(["a", "b"])).toEqual(["- a", "- b"]);
  expect(linesOf({ compute: { memory: 2 } })).toEqual(["compute:", "  memory: 2"]);
  expect(linesOf(false)).toEqual(["false"]);
});
