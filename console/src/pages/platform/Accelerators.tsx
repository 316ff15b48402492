import { ThunderboltOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import type { CatalogAccelerator } from "../../api/schema";
import { DataTable, type Column } from "../../parts/DataTable";
import { formatBytes, formatNumber } from "../../parts/format";
import { Head, Panel } from "../../parts/Page";
import { acceleratorCatalogQuery } from "../../queries/nodes";
import { PoolAdvice } from "./PoolAdvice";

const scaled = (value: number | null | undefined, unit: number) => (value == null ? "–" : formatNumber(value / unit));

/** How many cards services would need, and the facts that this is computed from. */
export function Accelerators() {
  const { t } = useTranslation();
  const catalog = useQuery(acceleratorCatalogQuery);
  const vendors = [...new Set(catalog.data?.items.map((card) => card.vendor))];
  const figure = (key: string, title: string, read: (card: CatalogAccelerator) => number | null | undefined, unit: number): Column<CatalogAccelerator> => ({ key, title, number: true, sort: (card) => read(card) ?? -1, render: (_, card) => scaled(read(card), unit) });
  return (
    <div className="page">
      <Head title={t("nav.accelerators")} sub={t("advice.sub")} />
      <PoolAdvice catalog={catalog.data?.items ?? []} />
      <Panel title={t("advice.catalog")} flush>
        <DataTable<CatalogAccelerator>
          name="accelerator-catalog"
          listing={catalog}
          rowKey={(card) => card.name}
          text={(card) => `${card.name} ${card.product} ${card.vendor}`}
          filters={[{ key: "vendor", label: t("nodes.vendor"), options: vendors.map((value) => ({ value, label: value })), match: (card, value) => card.vendor === value }]}
          columns={[
            { key: "product", title: t("advice.product"), render: (_, card) => <div><span className="strong">{card.product}</span><div className="small quiet mono">{card.name}</div></div> },
            { key: "memory", title: t("nodes.memory"), number: true, sort: (card) => card.memory_bytes, render: (_, card) => formatBytes(card.memory_bytes) },
            figure("bandwidth", t("advice.bandwidth"), (card) => card.bandwidth_bytes_per_second, 1e9),
            figure("rate16", t("advice.rate16"), (card) => card.flops_16bit, 1e12),
            figure("rate8", t("advice.rate8"), (card) => card.flops_fp8, 1e12),
            figure("int8", t("advice.int8"), (card) => card.ops_int8, 1e12),
            figure("power", t("advice.power"), (card) => card.power_watts, 1),
            { key: "ways", title: t("advice.ways"), render: (_, card) => card.slicing.map((way) => way.mechanism).join(", ") || "–" },
          ]}
          expand={(card) => <Sources card={card} />}
          empty={{ icon: <ThunderboltOutlined />, title: t("advice.noneFound"), text: t("advice.noneFoundText") }}
        />
      </Panel>
    </div>
  );
}

const FIGURES = ["memory_bytes", "bandwidth_bytes_per_second", "flops_16bit", "flops_fp8", "ops_int8", "link_bytes_per_second", "power_watts"] as const;

/** Where every figure of a card comes from, in the words of the catalogue. */
function Sources({ card }: { card: CatalogAccelerator }) {
  const { t } = useTranslation();
  const told = FIGURES.flatMap((name) => {
    const how = card.derived[name];
    const text = card.sources[name] ?? (how && t("advice.derived", { how }));
    return text ? [{ name, text }] : [];
  });
  return (
    <dl className="small" style={{ margin: 0, display: "grid", gridTemplateColumns: "max-content 1fr", gap: "2px 14px" }}>
      {told.flatMap(({ name, text }) => [<dt key={`${name}-name`} className="quiet">{t(`advice.figure.${name}`)}</dt>, <dd key={`${name}-text`} style={{ margin: 0 }}>{text}</dd>])}
      {card.note && <dd style={{ margin: 0, gridColumn: "1 / -1" }}>{card.note}</dd>}
    </dl>
  );
}
