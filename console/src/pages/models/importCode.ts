import type { Same } from "../../parts/Equivalent";
import type { SourceKind } from "./SourceFields";

/** What the form holds of a source; some fields have several values. */
export type Source = Record<string, string | string[]>;

/** Fields that are no part of the address in the command. */
const OPTIONS = ["endpoint", "region", "sha256", "include"];
const SECRETS = new Set(["access_key", "secret_key", "token"]);

/** The import of the dialog from outside the console; credentials stay out of it. */
export function importCode(name: string, kind: SourceKind, given: Source, fields: Record<string, unknown>): Same {
  const source = Object.fromEntries(Object.entries(given).filter(([field]) => !SECRETS.has(field)));
  const set = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined && value !== "" && value !== false));
  const words = (field: string, value: unknown) => [`--${field.replaceAll("_", "-")}`, ...(value === true ? [] : [String(value)])];
  const options = Object.entries(set).flatMap(([field, value]) => words(field, value));
  const more = OPTIONS.flatMap((field) => [source[field] ?? []].flat().flatMap((value) => words(field, value)));
  const upload = kind === "upload" ? ["--upload"] : [];
  const body = { source: kind === "upload" ? { kind, upload_id: "UPLOAD_ID" } : { kind, ...source }, ...set };
  return {
    command: ["aicp", "model", "import", place(kind, source), "--name", name, ...more, ...upload, ...options],
    method: "POST",
    path: `/api/v1/models/${name}/import`,
    body,
    document: kind === "upload" ? undefined : { kind: "model", name, ...body },
  };
}

function place(kind: SourceKind, source: Source): string {
  const text = (field: string, otherwise: string) => String(source[field] ?? otherwise);
  const at = source.revision ? `@${text("revision", "")}` : "";
  switch (kind) {
    case "directory":
      return text("path", "FOLDER");
    case "upload":
      return "FOLDER";
    case "url":
      return text("url", "URL");
    case "s3":
      return `s3://${text("bucket", "BUCKET")}/${text("prefix", "")}`;
    case "huggingface":
      return `hf://${text("repo", "OWNER/NAME")}${at}`;
    case "modelscope":
      return `ms://${text("repo", "OWNER/NAME")}${at}`;
  }
}
