import { expect, test } from "vitest";
import { sortOf } from "./url";

test("the order in the address becomes the platform's", () => {
  expect(sortOf("created_at:desc")).toEqual({ sort: "-created_at" });
  expect(sortOf("name:asc")).toEqual({ sort: "name" });
  expect(sortOf(null)).toEqual({});
});
