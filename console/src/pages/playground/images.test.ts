import { expect, test } from "vitest";
import { requestOf } from "./conversation";
import { admit, bytesOf, bytesSent, MOST_BYTES, MOST_IMAGES } from "./images";

const file = (name: string, size: number, type = "image/png") => ({ name, size, type }) as File;

test("a data URL knows how large its file is", () => expect(bytesOf(`data:image/png;base64,${btoa("x".repeat(300))}`)).toBe(300));

test("images within the limits are taken, others are told with their reason", () => {
  expect(admit([], [file("a.png", 10), file("b.gif", 10, "image/gif")]).taken).toHaveLength(2);
  const { taken, refusal } = admit([], [file("a.svg", 10, "image/svg+xml"), file("b.png", 10)]);
  expect(taken.map((each) => each.name)).toEqual(["b.png"]);
  expect(refusal).toEqual({ reason: "type", name: "a.svg", bytes: 10 });
  expect(admit([], [file("big.png", MOST_BYTES + 1)]).refusal?.reason).toBe("size");
  expect(admit([], [file("half.png", MOST_BYTES), file("more.png", 1)]).refusal).toMatchObject({ reason: "size", name: "more.png" });
  const many = Array.from({ length: MOST_IMAGES }, (_, index) => ({ name: `${index}`, url: "data:image/png;base64,AAAA" }));
  expect(admit(many, [file("one.png", 1)])).toEqual({ taken: [], refusal: { reason: "count", name: "one.png", bytes: 1 } });
});

test("images of earlier turns count, because they are sent again", () => {
  const url = `data:image/png;base64,${btoa("x".repeat(300))}`;
  expect(bytesSent([{ images: [{ name: "a", url }] }, {}, { images: [{ name: "b", url }] }])).toBe(600);
  expect(admit([], [file("a.png", 10)], MOST_BYTES - 10).taken).toHaveLength(1);
  expect(admit([], [file("a.png", 11)], MOST_BYTES - 10)).toEqual({ taken: [], refusal: { reason: "earlier", name: "a.png", bytes: 11 } });
});

test("a service that takes no images is sent none", () => {
  const images = [{ name: "a.png", url: "data:image/png;base64,AAAA" }];
  const turns = [{ role: "user" as const, content: "What is it?", images }, { role: "assistant" as const, content: "A cat" }, { role: "user" as const, content: "", images }];
  expect(JSON.stringify(requestOf("m", {}, turns))).toContain("image_url");
  expect(requestOf("m", {}, turns, false).messages).toEqual([{ role: "user", content: "What is it?" }, { role: "assistant", content: "A cat" }, { role: "user", content: "" }]);
});
