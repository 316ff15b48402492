import { expect, test } from "vitest";
import { formatBytes, formatContext, formatCount, formatDuration, formatMoney, formatPercent } from "./format";

test.each([
  [0, "0 B"],
  [1023, "1023 B"],
  [1024 ** 3 * 1.456, "1.46 GiB"],
  [1024 ** 3 * 312, "312 GiB"],
  [null, "–"],
])("bytes %s read as %s", (bytes, text) => expect(formatBytes(bytes)).toBe(text));

test.each([
  [950, "950"],
  [12_400, "12.4 k"],
  [596_049_920, "596 M"],
  [8_190_735_360, "8.19 B"],
])("count %s reads as %s", (count, text) => expect(formatCount(count)).toBe(text));

test.each([
  [0.2134, "213 ms"],
  [12.34, "12.3 s"],
  [600, "10 min"],
  [7200, "2 h"],
])("%s seconds read as %s", (seconds, text) => expect(formatDuration(seconds)).toBe(text));

test.each([
  [0, "0.00 USD"],
  [12_500_000, "12.50 USD"],
  [350, "0.00035 USD"],
  [35_000, "0.035 USD"],
  [1, "0.000001 USD"],
  [2_500_000_000_000, "2.5 M USD"],
  [null, "–"],
])("%s millionths read as %s", (micros, text) => expect(formatMoney(micros, "USD")).toBe(text));

test.each([[8192, "8K"], [40_960, "40K"], [1000, "1 k"]])("a context of %s reads as %s", (tokens, text) => expect(formatContext(tokens)).toBe(text));

test("a ratio reads as percent", () => expect(formatPercent(0.0031, 2)).toBe("0.31 %"));
