import type { Same } from "../../parts/Equivalent";
import type { SourceKind } from "./SourceFields";

type Source = Record<string, string>;

const SECRETS = new Set(["access_key", "secret_key", "token"]);

/** The import of the dialog from outside the console; credentials stay out of it. */
export function importCode(name: string, kind: SourceKind, given: Source, fields: Record<string, unknown>): Same {
  const source = Object.fromEntries(Object.entries(given).filter(([field]) => !SECRETS.has(field)));
  const set = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined && value !== "" && value !== false));
  const options = Object.entries(set).flatMap(([field, value]) => [`--${field.replaceAll("_", "-")}`, ...(value === true ? [] : [String(value)])]);
  const endpoint = source.endpoint ? ["--endpoint", source.endpoint] : [];
  const upload = kind === "upload" ? ["--upload"] : [];
  const body = { source: kind === "upload" ? { kind, upload_id: "UPLOAD_ID" } : { kind, ...source }, ...set };
  return {
    command: ["aicp", "model", "import", place(kind, source), "--name", name, ...endpoint, ...upload, ...options],
    method: "POST",
    path: `/api/v1/models/${name}/import`,
    body,
    document: kind === "upload" ? undefined : { kind: "model", name, ...body },
  };
}

function place(kind: SourceKind, source: Source): string {
  const at = source.revision ? `@${source.revision}` : "";
  switch (kind) {
    case "directory":
      return source.path ?? "FOLDER";
    case "upload":
      return "FOLDER";
    case "url":
      return source.url ?? "URL";
    case "s3":
      return `s3://${source.bucket ?? "BUCKET"}/${source.prefix ?? ""}`;
    case "huggingface":
      return `hf://${source.repo ?? "OWNER/NAME"}${at}`;
    case "modelscope":
      return `ms://${source.repo ?? "OWNER/NAME"}${at}`;
  }
}
