import { expect, test } from "vitest";
import { isBeyond, pageQuery } from "./url";

test.each([
  ["", { offset: 0, limit: 25 }],
  ["page=3&sort=name:desc&search=a+b", { offset: 50, limit: 25, sort: "-name", search: "a b" }],
  ["page=-2&sort=requests:asc", { offset: 0, limit: 25, sort: "requests" }],
  ["page=nonsense", { offset: 0, limit: 25 }],
])("the address %j asks for one page", (address, query) => {
  expect(pageQuery(new URLSearchParams(address))).toEqual({ search: undefined, sort: undefined, ...query });
});

test("a page is beyond the end when it is empty and the list is not", () => {
  expect(isBeyond(9, { items: [], total: 30 })).toBe(true);
  expect(isBeyond(2, { items: [1], total: 26 })).toBe(false);
  expect(isBeyond(2, { items: [], total: 0 })).toBe(false);
  expect(isBeyond(1, { items: [], total: 30 })).toBe(false);
  expect(isBeyond(9, undefined)).toBe(false);
});
