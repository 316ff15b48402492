import { afterEach, beforeEach, expect, test, vi } from "vitest";

const kept = new Map<string, string>();

beforeEach(() => {
  kept.clear();
  vi.stubGlobal("window", { location: { origin: "http://platform" } });
  vi.stubGlobal("localStorage", { getItem: (key: string) => kept.get(key) ?? null, removeItem: (key: string) => kept.delete(key) });
});
afterEach(() => vi.unstubAllGlobals());

test("something new is made in the chosen project only where that still is", async () => {
  const { homeOf } = await import("./project");
  expect(homeOf("lab", ["default", "lab"])).toBe("lab");
  expect(homeOf("gone", ["default", "lab"])).toBe("default");
  expect(homeOf("gone", ["lab", "shop"])).toBe("lab");
  expect(homeOf(undefined, ["lab", "default"])).toBe("default");
  expect([homeOf("lab", undefined), homeOf(undefined, undefined), homeOf("gone", [])]).toEqual(["lab", "default", "default"]);
});

test("a deleted project is forgotten if it was chosen, and a logout forgets any", async () => {
  const { forgetProject } = await import("./project");
  kept.set("aicp.project", "lab");
  forgetProject("shop");
  expect(kept.get("aicp.project")).toBe("lab");
  forgetProject("lab");
  expect(kept.size).toBe(0);
  kept.set("aicp.project", "lab");
  forgetProject();
  expect(kept.size).toBe(0);
});
