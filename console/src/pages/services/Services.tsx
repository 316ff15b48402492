import { CloudServerOutlined, RocketOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { Button } from "antd";
import { useTranslation } from "react-i18next";
import { Link, useNavigate } from "react-router";
import type { Service } from "../../api/schema";
import { localized } from "../../app/sentences";
import { Copy } from "../../parts/Code";
import { DataTable, type Column } from "../../parts/DataTable";
import { formatMs, formatNumber } from "../../parts/format";
import { Head } from "../../parts/Page";
import { State } from "../../parts/State";
import { Time } from "../../parts/Time";
import { useUrlMany } from "../../parts/url";
import { usePaging } from "../../queries/list";
import { useProject } from "../../queries/project";
import { servicePageQuery } from "../../queries/services";
import { useMay } from "../../queries/session";
import { BulkServices } from "./BulkServices";

const STATES = ["ready", "updating", "starting", "pending", "degraded", "failed", "sleeping", "stopping", "stopped"] as const;
const MODES = ["balanced", "long_text", "custom"] as const;

export function Services() {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const may = useMay();
  const [project] = useProject();
  const [url] = useUrlMany();
  const state = STATES.find((item) => item === url.get("state"));
  const mode = MODES.find((item) => item === url.get("mode"));
  const listing = useQuery(servicePageQuery({ ...usePaging(), project, state, mode }));
  const publish = may("service:write") && (
    <Button type="primary" icon={<RocketOutlined />} onClick={() => void navigate("/services/new")}>{t("services.publish")}</Button>
  );
  return (
    <div className="page">
      <Head title={t("nav.services")} sub={t("services.sub")} actions={publish} />
      <DataTable<Service>
        name="services"
        listing={listing}
        rowKey={(service) => service.id}
        columns={useColumns()}
        filters={[
          { key: "state", label: t("services.state"), options: STATES.map((value) => ({ value, label: t(`state.${value}`) })) },
          { key: "mode", label: t("publish.mode"), options: MODES.map((value) => ({ value, label: t(`mode.${value}`) })) },
        ]}
        onOpen={(service) => void navigate(`/services/${service.name}`)}
        bulk={may("service:write") ? (rows, done) => <BulkServices services={rows} onDone={done} /> : undefined}
        empty={{ icon: <CloudServerOutlined />, title: t("services.emptyTitle"), text: t("services.emptyText"), action: publish }}
      />
    </div>
  );
}

function useColumns(): Column<Service>[] {
  const { t } = useTranslation();
  return [
    {
      key: "name",
      title: t("services.name"),
      sort: true,
      render: (_, service) => (
        <div style={{ maxWidth: 380 }}>
          <Link className="name" to={`/services/${service.name}`}>{service.name}</Link>
          {service.reason && <div className="small quiet clip" title={localized(service.reason)}>{localized(service.reason)}</div>}
        </div>
      ),
    },
    { key: "state", title: t("services.state"), sort: true, render: (_, service) => <State state={service.state} reason={service.reason} /> },
    { key: "model", title: t("services.modelVersion"), sort: true, render: (_, service) => <Link to={`/models/${service.model_version.split(":")[0]}`}>{service.model_version}</Link> },
    { key: "type", title: t("models.type"), optional: true, render: (_, service) => t(`modelType.${service.type}`) },
    { key: "mode", title: t("publish.mode"), render: (_, service) => t(`mode.${service.spec.mode ?? "balanced"}`) },
    { key: "engine", title: t("services.engine"), optional: true, render: (_, service) => [service.engine, service.engine_version].filter(Boolean).join(" ") || "–" },
    { key: "project", title: t("keys.project"), optional: true, render: (_, service) => service.project },
    { key: "pool", title: t("publish.pool"), render: (_, service) => service.spec.pool },
    { key: "priority", title: t("publish.priority"), optional: true, number: true, render: (_, service) => `${service.spec.priority ?? 0}${service.spec.preemptible ? ` · ${t("publish.preemptible")}` : ""}` },
    { key: "replicas", title: t("services.replicas"), number: true, sort: true, render: (_, service) => `${service.replicas_ready} / ${service.replicas_wanted}` },
    { key: "requests", title: t("services.requests"), number: true, sort: true, render: (_, service) => formatNumber(service.traffic?.requests_per_second) },
    { key: "ttft", title: t("services.ttft99"), number: true, sort: true, render: (_, service) => formatMs(service.traffic?.ttft_ms_p99) },
    { key: "tokens", title: t("services.tokens"), number: true, sort: true, render: (_, service) => formatNumber(service.traffic?.tokens_per_second) },
    { key: "address", title: t("services.address"), optional: true, render: (_, service) => service.address && <span className="row"><span className="mono">{service.address}</span><Copy text={service.address} /></span> },
    { key: "updated_at", title: t("models.updated"), optional: true, sort: true, render: (_, service) => <Time at={service.updated_at} /> },
  ];
}
