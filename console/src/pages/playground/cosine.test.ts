import { expect, test } from "vitest";
import { cosine } from "./cosine";

test("a vector is as near to itself as can be", () => expect(cosine([3, 4], [6, 8])).toBeCloseTo(1));
test("right angles have nothing in common", () => expect(cosine([1, 0], [0, 2])).toBe(0));
test("an empty vector is near to nothing", () => expect(cosine([0, 0], [1, 2])).toBe(0));
