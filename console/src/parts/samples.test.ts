import { expect, test } from "vitest";
import { samplesFor } from "./samples";

const PICTURE = "data:image/png;base64,AAAA";
const texts = (request: Record<string, unknown>) => Object.fromEntries(samplesFor("vision", "http://gate/v1", "m", request).map((sample) => [sample.key, sample.text]));

test("what is sent stands in the code: tools and parameters", () => {
  const request = { model: "m", messages: [{ role: "user", content: "it's" }], temperature: 0.2, tools: [{ type: "function" }], stream: true };
  const code = texts(request);
  expect(JSON.parse(/-d '([^]*)'$/.exec(code.curl ?? "")?.[1]?.replaceAll("'\\''", "'") ?? "")).toEqual(request);
  expect(code.python).toContain('tools=[{"type": "function"}],');
  expect(code.javascript).toContain('"temperature": 0.2');
});

test("an image is read from a file, the same one once", () => {
  const image = { type: "image_url", image_url: { url: PICTURE } };
  const code = texts({ model: "m", messages: [{ role: "user", content: [{ type: "text", text: "costs $5" }, image, image] }] });
  for (const text of Object.values(code)) {
    expect(text).toContain("image-1.png");
    expect(text).not.toContain("image-2.png");
    expect(text).not.toContain("AAAA");
    expect(text).not.toContain("<<image");
  }
  expect(code.curl).toContain("data:image/png;base64,$(base64 -w0 image-1.png)");
  expect(code.curl).toContain("costs \\$5");
  expect(code.python).toContain('"data:image/png;base64," + b64encode(Path("image-1.png").read_bytes()).decode()');
  expect(code.javascript).toMatch(/^import \{ readFileSync \}/);
});
