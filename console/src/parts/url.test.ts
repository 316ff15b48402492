import { expect, test } from "vitest";
import { pageQuery } from "./url";

test.each([
  ["", { offset: 0, limit: 25 }],
  ["page=3&sort=name:desc&search=a+b", { offset: 50, limit: 25, sort: "-name", search: "a b" }],
  ["page=-2&sort=requests:asc", { offset: 0, limit: 25, sort: "requests" }],
  ["page=nonsense", { offset: 0, limit: 25 }],
])("the address %j asks for one page", (address, query) => {
  expect(pageQuery(new URLSearchParams(address))).toEqual({ search: undefined, sort: undefined, ...query });
});
