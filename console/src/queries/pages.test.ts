import { expect, test } from "vitest";
import { everyPage } from "./pages";

const serve = (rows: number[], asked: number[]) => ({ offset, limit }: { offset: number; limit: number }) => {
  asked.push(offset);
  return Promise.resolve({ items: rows.slice(offset, offset + limit), total: rows.length });
};

test("a list longer than a page comes whole", async () => {
  const asked: number[] = [];
  const rows = Array.from({ length: 1201 }, (_, index) => index);
  expect(await everyPage(serve(rows, asked))).toEqual({ items: rows, total: 1201 });
  expect(asked).toEqual([0, 500, 1000]);
});

test("a list that shrinks meanwhile ends", async () => {
  const page = await everyPage(({ offset }) => Promise.resolve({ items: offset === 0 ? [1] : [], total: 9 }));
  expect(page).toEqual({ items: [1], total: 1 });
});
