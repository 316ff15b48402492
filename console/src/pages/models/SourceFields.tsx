import { Form, Input, Select } from "antd";
import { useTranslation } from "react-i18next";

export const SOURCE_KINDS = ["directory", "upload", "url", "s3", "huggingface", "modelscope"] as const;
export type SourceKind = (typeof SOURCE_KINDS)[number];

interface Field {
  name: "path" | "url" | "sha256" | "endpoint" | "bucket" | "prefix" | "region" | "access_key" | "secret_key" | "repo" | "revision" | "token" | "include";
  example?: string;
  required?: boolean;
  secret?: boolean;
  /** Several values. */
  many?: boolean;
}

const HUB: Field[] = [{ name: "repo", example: "Qwen/Qwen3-8B", required: true }, { name: "revision", example: "main" }, { name: "endpoint", example: "https://hub.example.org" }, { name: "token", secret: true }, { name: "include", example: "*Q4_K_M*", many: true }];

const FIELDS: Record<Exclude<SourceKind, "upload">, Field[]> = {
  directory: [{ name: "path", example: "/srv/models/qwen3-8b", required: true }],
  url: [{ name: "url", example: "https://files.example.org/qwen3-8b.tar.gz", required: true }, { name: "sha256" }],
  s3: [{ name: "bucket", example: "models", required: true }, { name: "prefix", example: "qwen3-8b/" }, { name: "endpoint", example: "https://s3.example.org" }, { name: "region", example: "us-east-1" }, { name: "access_key" }, { name: "secret_key", secret: true }],
  huggingface: HUB,
  modelscope: HUB,
};

/** What each import method asks for. */
export function SourceFields({ kind }: { kind: Exclude<SourceKind, "upload"> }) {
  const { t } = useTranslation();
  const fields = FIELDS[kind];
  return (
    <div className={fields.length > 2 ? "grid2" : undefined} style={{ rowGap: 0 }}>
      {fields.map((field) => (
        <Form.Item key={field.name} name={["source", field.name]} label={t(`source.field.${field.name}`)} extra={field.name === "path" ? t("source.pathHint") : field.name === "include" ? t("source.includeHint") : undefined} rules={field.required ? [{ required: true, message: t("form.required") }] : []}>
          {field.secret ? (
            <Input.Password autoComplete="off" />
          ) : field.many ? (
            <Select mode="tags" open={false} suffixIcon={null} tokenSeparators={[",", " "]} placeholder={field.example} className="mono" />
          ) : (
            <Input placeholder={field.example} autoComplete="off" className="mono" />
          )}
        </Form.Item>
      ))}
    </div>
  );
}
