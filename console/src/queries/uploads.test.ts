import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Picked } from "./uploadFiles";

const CONTENT = "x".repeat(10);
const files: Picked[] = [{ path: "a b.bin", file: new File([CONTENT], "a b.bin", { lastModified: 1 }) }];

/** What the platform holds, and faults that answer the next requests for a piece. */
let held = 0;
let state = "receiving";
let faults: (() => Response)[] = [];
let asked: string[] = [];
/** What happens while the platform tells how far an upload is. */
let onLook = () => {};

const json = (body: unknown, status = 200) => new Response(JSON.stringify(body), { status, headers: { "Content-Type": "application/json" } });
const refusal = (status: number, code: string) => json({ error: { code, message: code } }, status);
const upload = () => json({ id: "upl_1", state: held === CONTENT.length && state === "receiving" ? "checked" : state, files: [{ path: "a b.bin", size_bytes: CONTENT.length, offset: held }] });

async function answer(input: Request | string, init?: RequestInit): Promise<Response> {
  const [method, url] = typeof input === "string" ? [init?.method ?? "GET", new URL(input, "http://platform")] : [input.method, new URL(input.url)];
  (typeof input === "string" ? init?.signal : input.signal)?.throwIfAborted();
  asked.push(`${method} ${url.pathname}${url.search}`);
  if (method === "PUT") {
    const fault = faults.shift();
    if (fault) return fault();
    if (Number(url.searchParams.get("offset")) !== held) return refusal(409, "wrong_offset");
    held += (init?.body as Blob).size;
    return json({ offset: held });
  }
  if (url.pathname.endsWith("/import")) return json({ id: "job_1", title: "Import m" }, 202);
  onLook();
  return Promise.resolve(upload());
}

async function fresh() {
  vi.resetModules();
  const kept = new Map<string, string>();
  vi.stubGlobal("window", { location: { origin: "http://platform" } });
  vi.stubGlobal("localStorage", { getItem: (key: string) => kept.get(key) ?? null, setItem: (key: string, value: string) => kept.set(key, value) });
  vi.stubGlobal("fetch", answer);
  return { ...(await import("./uploads")), ...(await import("./jobs")) };
}

beforeEach(() => {
  vi.useFakeTimers();
  [held, state, faults, asked, onLook] = [0, "receiving", [], [], () => {}];
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const wanted = { model: "m", project: "default", files, request: { project: "default" } };

/** Starts an upload and lets all waits pass. */
async function run(begun: Promise<unknown>) {
  await vi.runAllTimersAsync();
  return begun;
}

test("files are sent and imported, and the end of the import is told", async () => {
  const { startUpload, allSendings, awaited } = await fresh();
  const begun = startUpload(wanted);
  expect(allSendings().map(({ model, state: now }) => [model, now])).toEqual([["m", "sending"]]);
  await run(begun);
  expect(asked).toContain("PUT /api/v1/uploads/upl_1/files/a%20b.bin?offset=0");
  expect(asked.at(-1)).toBe("POST /api/v1/models/m/import");
  expect(allSendings()).toEqual([]);
  expect(awaited.has("job_1")).toBe(true);
});

test("a broken connection and a restart of the platform are waited out, from the platform's offset", async () => {
  const { startUpload, allSendings } = await fresh();
  const half = () => {
    held = 4;
    throw new TypeError("Failed to fetch");
  };
  faults = [half, () => refusal(503, "unavailable"), () => refusal(409, "piece_under_way")];
  await run(startUpload(wanted));
  expect(asked.filter((one) => one.startsWith("PUT"))).toEqual([0, 4, 4, 4].map((offset) => `PUT /api/v1/uploads/upl_1/files/a%20b.bin?offset=${offset}`));
  expect([held, allSendings()]).toEqual([10, []]);
});

test("what no try mends stays in the list until it is tried again", async () => {
  const { startUpload, retryUpload, allSendings } = await fresh();
  faults = [() => refusal(507, "no_space")];
  await run(startUpload(wanted));
  const [failed] = allSendings();
  expect([failed?.state, (failed?.error as Error).message]).toEqual(["failed", "no_space"]);
  held = 3;
  asked = [];
  await run(retryUpload(failed?.id ?? 0));
  expect(asked).toContain("PUT /api/v1/uploads/upl_1/files/a%20b.bin?offset=3");
  expect(asked).not.toContain("POST /api/v1/uploads");
  expect(allSendings()).toEqual([]);
});

test("a refused upload fails in the platform's words", async () => {
  const { startUpload, allSendings } = await fresh();
  state = "refused";
  await run(startUpload(wanted));
  expect(allSendings()[0]?.state).toBe("failed");
});

test("a stopped upload sends nothing more, and the same files do not go twice at once", async () => {
  const { startUpload, stopUpload, isUnderWay, allSendings } = await fresh();
  const begun = startUpload(wanted);
  expect([isUnderWay(files, "default"), isUnderWay(files, "other")]).toEqual([true, false]);
  stopUpload(allSendings()[0]?.id ?? 0);
  await run(begun);
  expect(allSendings()).toEqual([]);
  expect(asked.some((one) => one.endsWith("/import"))).toBe(false);
  expect(isUnderWay(files, "default")).toBe(false);
});

test("an upload that is stopped at its very end is not imported", async () => {
  const { startUpload, stopUploads, allSendings } = await fresh();
  onLook = () => {
    if (held === CONTENT.length) stopUploads();
  };
  expect(await run(startUpload(wanted))).toBeUndefined();
  expect(allSendings()).toEqual([]);
  expect(asked.some((one) => one.endsWith("/import"))).toBe(false);
});
