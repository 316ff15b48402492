import { expect, test } from "vitest";
import { quote } from "./Equivalent";

test("a shell reads back the very word", () => {
  expect(quote("s3://models/a-b_c")).toBe("s3://models/a-b_c");
  expect(quote("it's $HOME")).toBe("'it'\\''s $HOME'");
  expect(quote("")).toBe("''");
});
