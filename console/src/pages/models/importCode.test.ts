import { expect, test } from "vitest";
import { importCode } from "./importCode";

test("an import as a command, without its credentials", () => {
  const same = importCode("m", "s3", { bucket: "b", prefix: "p/", endpoint: "https://s3.example.org", secret_key: "hidden" }, { visibility: "project", skip_unsafe: true, license: "" });
  expect(same.command.join(" ")).toBe("aicp model import s3://b/p/ --name m --endpoint https://s3.example.org --visibility project --skip-unsafe");
  expect(JSON.stringify(same)).not.toContain("hidden");
  expect(same.document).toEqual({ kind: "model", name: "m", source: { kind: "s3", bucket: "b", prefix: "p/", endpoint: "https://s3.example.org" }, visibility: "project", skip_unsafe: true });
});

test("a hub's revision is part of its address", () => {
  expect(importCode("m", "huggingface", { repo: "a/b", revision: "main" }, {}).command[3]).toBe("hf://a/b@main");
});
