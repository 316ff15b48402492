import { expect, test } from "vitest";
import { EXAMPLE, parts, toQuestion } from "./adviceValues";

test("the example is a whole question", () => {
  const question = toQuestion(EXAMPLE);
  expect(question.services.map((service) => [service.name, service.compute_percent, service.measured_on, service.memory_bytes])).toEqual([
    ["embedding", 25, "4090D", 3 * 1024 ** 3],
    ["rerank", 40, "4090D", 4 * 1024 ** 3],
    ["ocr", 30, "4090D", 6 * 1024 ** 3],
  ]);
  expect(question.cards.map((card) => card.name)).toEqual(["4090D", "H20-96G", "L20"]);
  expect(question.reserve_bytes).toBe(1024 ** 3);
});

test("a row that is not complete yet is not asked about", () => {
  const rows = [undefined, {}, { name: "a", share: 10 }, { name: "b", memory: 1 }, { name: "c", memory: 1, whole: true }, { name: "d", memory: 0.5, share: 10, replicas: null }];
  const { services } = toQuestion({ services: rows, cards: ["L20"] });
  expect(services.map((service) => service.name)).toEqual(["c", "d"]);
  expect(services[0]).not.toHaveProperty("compute_percent");
  expect(services[1]).toMatchObject({ compute_percent: 10, replicas: 1, memory_bytes: 512 * 1024 ** 2 });
  expect(services[1]).not.toHaveProperty("measured_on");
});

test("replicas of one service are parts of their own", () => {
  const share = { service: "a", compute_percent: 20, memory_bytes: 5, whole: false, profile: null, rounding: null };
  const card = { number: 1, compute_free_percent: 60, memory_free_bytes: 0, shares: [{ ...share, replica: 1 }, { ...share, replica: 2 }] };
  expect(parts(card, "compute_percent")).toEqual([{ label: "a 1", value: 20 }, { label: "a 2", value: 20 }]);
  expect(parts(card, "memory_bytes").map((part) => part.value)).toEqual([5, 5]);
});
