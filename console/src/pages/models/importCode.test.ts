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

test("patterns, digest and region are options of their own", () => {
  const hub = importCode("m", "huggingface", { repo: "a/b", include: ["*Q4*", "*Q8*"] }, {});
  expect(hub.command.slice(3)).toEqual(["hf://a/b", "--name", "m", "--include", "*Q4*", "--include", "*Q8*"]);
  expect(hub.body).toEqual({ source: { kind: "huggingface", repo: "a/b", include: ["*Q4*", "*Q8*"] } });
  expect(hub.document).toEqual({ kind: "model", name: "m", source: { kind: "huggingface", repo: "a/b", include: ["*Q4*", "*Q8*"] } });
  expect(importCode("m", "url", { url: "https://h/x.tar", sha256: "0f" }, {}).command.slice(3)).toEqual(["https://h/x.tar", "--name", "m", "--sha256", "0f"]);
  const store = importCode("m", "s3", { bucket: "b", region: "eu-1" }, {});
  expect(store.command.slice(3)).toEqual(["s3://b/", "--name", "m", "--region", "eu-1"]);
  expect(store.body).toEqual({ source: { kind: "s3", bucket: "b", region: "eu-1" } });
});
