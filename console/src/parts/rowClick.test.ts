import { expect, test } from "vitest";
import { isOwnClick } from "./rowClick";

const click = (inside: boolean, control: boolean) => isOwnClick({ contains: () => inside }, { closest: () => (control ? {} : null) } as unknown as Element);

test("a click opens a row only where it is the row's own", () => {
  expect(click(true, false)).toBe(true);
  expect(click(true, true)).toBe(false);
  // A dialog of the row stands elsewhere in the page.
  expect(click(false, false)).toBe(false);
});
