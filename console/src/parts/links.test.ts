import { expect, test } from "vitest";
import { objectPath } from "./links";

test("objects with a page are linked, others are not", () => {
  expect(objectPath("job", "job_1")).toBe("/platform/jobs?job=job_1");
  expect(objectPath("service", "a b")).toBe("/services/a%20b");
  expect(objectPath("request", "/api/v1/keys")).toBeUndefined();
});
