import { Collapse } from "antd";
import { useTranslation } from "react-i18next";
import { CodeTabs } from "./Code";
import { toYaml } from "./yaml";

export interface Same {
  /** The words of the `aicp` command; what a shell would read otherwise is quoted. */
  command: string[];
  method: "POST" | "PATCH" | "PUT";
  path: string;
  body: object;
  /** The document for `aicp apply -f`, where there is one. */
  document?: object;
}

/** What this form does as a command, as REST and as YAML, filled in; folded until asked for. */
export function Equivalent({ same }: { same: Same }) {
  const { t } = useTranslation();
  const json = JSON.stringify(same.body, null, 2);
  const samples = [
    { key: "cli", label: "aicp", text: same.command.map(quote).join(" ") },
    { key: "curl", label: "curl", text: `curl -X ${same.method} ${location.origin}${same.path} \\\n  -H "Authorization: Bearer $AICP_TOKEN" \\\n  -H "Content-Type: application/json" \\\n  -d ${quote(json)}` },
    ...(same.document ? [{ key: "yaml", label: "YAML", text: toYaml(same.document) }] : []),
  ];
  return <Collapse ghost size="small" items={[{ key: "code", label: t("publish.asCode"), children: <CodeTabs samples={samples} /> }]} />;
}

/** A word as a shell reads it back. */
export function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
