import { useTranslation } from "react-i18next";
import type { ModelVersion } from "../../api/schema";
import { localized } from "../../app/sentences";
import { Code, Copy } from "../../parts/Code";
import { formatBytes, formatCount, formatValue } from "../../parts/format";
import { Panel } from "../../parts/Page";
import { Time } from "../../parts/Time";
import { Lineage } from "./Lineage";

/** Architecture, origin and what the import noticed. */
export function ModelSummary({ version }: { version: ModelVersion }) {
  const { t } = useTranslation();
  const { architecture: facts } = version;
  const rows: [string, unknown][] = [
    [t("arch.name"), facts.name],
    [t("arch.layers"), facts.layers],
    [t("arch.hidden"), facts.hidden_size],
    [t("arch.heads"), facts.attention_heads && `${facts.attention_heads} / ${facts.kv_heads ?? facts.attention_heads}`],
    [t("arch.headDim"), facts.head_dim],
    [t("arch.vocabulary"), formatCount(facts.vocab_size)],
    ...(facts.experts ? ([[t("arch.experts"), `${facts.experts} (${facts.experts_per_token ?? "?"})`]] as [string, unknown][]) : []),
    [t("arch.dtype"), [version.dtype, version.quantization].filter(Boolean).join(" · ")],
    [t("arch.template"), t(facts.has_chat_template ? "word.yes" : "word.no")],
  ];
  return (
    <div className="stack wide">
      <Lineage version={version} />
      <div className="grid2" style={{ alignItems: "start" }}>
        <Panel title={t("arch.title")} flush><Rows rows={rows} /></Panel>
        <div className="stack wide">
          <Panel title={t("origin.title")} flush>
            <Rows
              rows={[
                [t("origin.source"), <span className="mono" key="s">{version.source}</span>],
                [t("origin.digest"), <span key="d" className="row"><span className="mono clip" style={{ maxWidth: 240 }}>{version.digest}</span><Copy text={version.digest} /></span>],
                [t("origin.weights"), formatBytes(version.weight_bytes)],
                [t("origin.imported"), <span key="i"><Time at={version.created_at} /> · {version.created_by ?? "–"}</span>],
                ...Object.entries(version.lineage).map(([key, value]): [string, unknown] => [t(`origin.fact.${key}`, { defaultValue: key }), formatValue(value)]),
              ]}
            />
          </Panel>
          {version.notes.length > 0 && (
            <Panel title={t("origin.notes")}>
              <ul style={{ margin: 0, paddingInlineStart: 18 }}>{version.notes.map((note) => <li key={note}>{localized(note)}</li>)}</ul>
            </Panel>
          )}
          <Panel title={t("arch.config")} flush><Code text={JSON.stringify(facts.config, null, 2)} /></Panel>
        </div>
      </div>
    </div>
  );
}

export function Rows({ rows }: { rows: [string, unknown][] }) {
  return (
    <div style={{ padding: "4px 16px" }}>
      {rows.map(([label, value]) => (
        <div key={label} className="row spread" style={{ padding: "7px 0", borderBottom: "1px solid var(--ant-color-border-secondary)" }}>
          <span className="quiet nowrap">{label}</span>
          <span className="num right" style={{ whiteSpace: "normal", overflowWrap: "anywhere" }}>{isNode(value) ? value : formatValue(value)}</span>
        </div>
      ))}
    </div>
  );
}

function isNode(value: unknown): value is React.ReactElement {
  return typeof value === "object" && value !== null && "props" in value;
}
