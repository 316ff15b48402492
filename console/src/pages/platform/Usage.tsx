import { DownloadOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { Button, Segmented, Tabs, Tag } from "antd";
import { useTranslation } from "react-i18next";
import { Head } from "../../parts/Page";
import { SearchSelect } from "../../parts/SearchSelect";
import { useTab, useUrlMany } from "../../parts/url";
import { keyChoices, keyQuery } from "../../queries/keys";
import { useProject } from "../../queries/project";
import { useMay } from "../../queries/session";
import { useSince } from "../../queries/since";
import { UsageRequests, useRequestFilters } from "./UsageRequests";
import { UsageSummary } from "./UsageSummary";

const SPANS = { "24h": 1, "7d": 7, "30d": 30 } as const;
type Span = keyof typeof SPANS;

/** Requests, tokens and cost; what is chosen lives in the address, and can be taken along as CSV. */
export function Usage() {
  const { t } = useTranslation();
  const [url, setUrl] = useUrlMany();
  const spanText = url.get("span") ?? "7d";
  const key = url.get("key") ?? undefined;
  const [project] = useProject();
  const span: Span = spanText in SPANS ? (spanText as Span) : "7d";
  const since = useSince(SPANS[span]);
  const [tab, setTab] = useTab("summary");
  const { service, outcome } = useRequestFilters();
  const exported = { since, project, api_key_id: key, service, ...(tab === "requests" ? { outcome } : {}) };
  const csv = `/api/v1/usage.csv?${new URLSearchParams(Object.entries(exported).filter((pair): pair is [string, string] => Boolean(pair[1]))).toString()}`;
  const choice = (
    <>
      <KeyFilter id={key} onChange={(chosen) => setUrl({ key: chosen, page: undefined })} />
      <Segmented value={span} onChange={(value) => setUrl({ span: value === "7d" ? undefined : value, page: undefined })} options={(Object.keys(SPANS) as Span[]).map((value) => ({ value, label: t(`range.${value}`) }))} />
      <Button href={csv} download icon={<DownloadOutlined />}>CSV</Button>
    </>
  );
  return (
    <div className="page">
      <Head title={t("nav.usage")} sub={t("usage.sub")} actions={choice} />
      <Tabs
        activeKey={tab}
        onChange={setTab}
        destroyOnHidden
        items={[
          { key: "summary", label: t("models.tabSummary"), children: <UsageSummary which={{ since, project, api_key_id: key, service }} step={span === "24h" ? "hour" : "day"} /> },
          { key: "requests", label: t("usage.single"), children: <UsageRequests which={{ since, project, api_key_id: key }} /> },
        ]}
      />
    </div>
  );
}

function KeyFilter({ id, onChange }: { id?: string; onChange: (id: string | undefined) => void }) {
  const { t } = useTranslation();
  const may = useMay();
  const { data } = useQuery({ ...keyQuery(id ?? ""), enabled: id !== undefined && may("key:read") });
  if (id) return <Tag closable onClose={() => onChange(undefined)} style={{ alignSelf: "center" }}>{t("usage.by.key")}: {data?.name ?? id}</Tag>;
  return may("key:read") && <SearchSelect kind="key" label={t("usage.by.key")} style={{ minWidth: 140 }} load={keyChoices} onChange={onChange} />;
}
