import { expect, test } from "vitest";
import type { Route } from "../../api/schema";
import { changed, creation, sameAs, shareOf, valuesOf } from "./routeValues";

const route: Route = {
  id: "r", name: "chat", project: "default", visibility: "public", description: "", sticky: "session", ready: [], created_at: "", updated_at: "",
  arms: [{ service: "demo", weight: 95 }, { provider: "outside", model: "org/m:free", weight: 5 }],
  fallbacks: [{ provider: "outside", model: "small" }],
};

test("what is not changed is not sent", () => {
  expect(changed(valuesOf(route), route)).toEqual({});
  expect(changed({ ...valuesOf(route), fallbacks: [] }, route)).toEqual({ fallbacks: [] });
});

test("a model's own colons stay in its name", () => {
  expect(creation(valuesOf(route)).arms[1]).toEqual({ provider: "outside", model: "org/m:free", weight: 5 });
});

test("the command says what the form does", () => {
  const values = valuesOf(route);
  expect(sameAs({ ...values, fallbacks: [] }, route).command).toEqual(["aicp", "route", "update", "chat", "--no-fallback"]);
  expect(sameAs(values, null).command.join(" ")).toContain("--to demo=95 --to outside:org/m:free=5 --fallback outside:small");
});

test("an arm that is not filled in is no arm", () => {
  expect(creation({ name: "x", project: "default", arms: [{ to: "demo" }, undefined, {}] }).arms).toEqual([{ service: "demo", weight: 1 }]);
});

test("shares are of all weights", () => {
  expect(shareOf(5, [{ weight: 95 }, { weight: 5 }])).toBe(5);
  expect(shareOf(0, [{ weight: 0 }])).toBe(0);
});
