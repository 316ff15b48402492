import { expect, test } from "vitest";
import { arrivedIds, isOpen, isRemovable, joinCommand, openingCommand, sameAs, tokenOf } from "./joinValues";

test("a token for one machine and a day, unless more is asked for", () => {
  expect(tokenOf({})).toEqual({ hours: 24, uses: 1, pool: null, labels: {} });
  expect(tokenOf({ hours: 0.5, uses: 3, pool: "gpu", labels: ["zone=b", "disk=ssd"] })).toEqual({ hours: 0.5, uses: 3, pool: "gpu", labels: { zone: "b", disk: "ssd" } });
});

test("the command says only what differs from the usual, and the request all of it", () => {
  expect(sameAs({ uses: 1, hours: 24 }).command.join(" ")).toBe("aicp node token");
  const same = sameAs({ hours: 2, uses: 4, pool: "gpu", labels: ["zone=b", "disk=ssd"] });
  expect(same.command.join(" ")).toBe("aicp node token --hours 2 --uses 4 --pool gpu --label zone=b --label disk=ssd");
  expect(same).toMatchObject({ method: "POST", path: "/api/v1/join-tokens", body: { hours: 2, uses: 4, pool: "gpu" } });
});

test("a label that is still being typed is not said as another one", () => {
  expect(sameAs({ labels: ["zone", "disk=ssd"] }).command.join(" ")).toBe("aicp node token --label disk=ssd");
});

test("what the new machine runs names the platform's door and the token", () => {
  expect(joinCommand({ address: "10.0.0.1:8609", token: "aicp-join-a-b-c" })).toBe("aicp node join 10.0.0.1:8609 --token aicp-join-a-b-c --detach");
});

test.each([
  ["127.0.0.1", "HOST"],
  ["localhost", "HOST"],
  ["[::1]", "HOST"],
  ["10.0.0.7", "10.0.0.7"],
  ["gpu-1.example", "gpu-1.example"],
])("a page reached as %s tells others to use %s", (hostname, host) => {
  expect(openingCommand(hostname)).toBe(`aicp up --cluster ${host}:8609`);
});

test("a token is open while it is neither used up nor over", () => {
  const [at, before, after] = ["2030-01-01T00:00:00Z", Date.parse("2029-12-31T23:59:59Z"), Date.parse("2030-01-01T00:00:00Z")];
  expect([isOpen({ uses_left: 1, expires_at: at }, before), isOpen({ uses_left: 0, expires_at: at }, before), isOpen({ uses_left: 1, expires_at: at }, after)]).toEqual([true, false, false]);
});

test("arrivals are told in their order, each node once however often it joined", () => {
  const newestFirst = [{ details: { node_id: "node_b" } }, { details: { node_id: "node_a" } }, { details: {} }, { details: { node_id: "node_b" } }];
  expect(arrivedIds(newestFirst)).toEqual(["node_b", "node_a"]);
});

test("a joined node can be removed, the platform's own one only when it is lost", () => {
  const [joined, own] = ["mtls://node-1.node.aicp@10.0.0.2:8610", "http://127.0.0.1:8603"];
  expect([isRemovable({ address: joined, state: "ready" }), isRemovable({ address: own, state: "ready" }), isRemovable({ address: own, state: "lost" })]).toEqual([true, false, true]);
});
