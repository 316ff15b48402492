import { CommentOutlined, EditOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { Button, Tabs } from "antd";
import { useTranslation } from "react-i18next";
import { Link, useParams } from "react-router";
import type { Service } from "../../api/schema";
import { localized } from "../../app/sentences";
import { Events } from "../../parts/Events";
import { PageSkeleton, ProblemView } from "../../parts/Feedback";
import { Facts, Head } from "../../parts/Page";
import { State, toneOf } from "../../parts/State";
import { Time } from "../../parts/Time";
import { useUrlMany } from "../../parts/url";
import { WaitingList } from "../../parts/WaitingList";
import { waitingQuery } from "../../queries/pools";
import { replicasQuery, serviceQuery } from "../../queries/services";
import { useMay } from "../../queries/session";
import { Logs } from "./Logs";
import { Metrics } from "./Metrics";
import { OwnListener } from "./OwnListener";
import { Replicas } from "./Replicas";
import { Revisions } from "./Revisions";
import { Samples } from "./Samples";
import { ServiceActions } from "./ServiceActions";
import { ServiceYaml } from "./ServiceYaml";
import { Summary } from "./Summary";

export function ServicePage() {
  const { t } = useTranslation();
  const { name = "" } = useParams();
  const service = useQuery(serviceQuery(name));
  if (service.error && !service.data) return <div className="page"><ProblemView error={service.error} retry={() => void service.refetch()} /></div>;
  if (!service.data) return <PageSkeleton />;
  const { data } = service;
  const tone = toneOf(data.state);
  return (
    <div className="page">
      <Head
        crumb={{ to: "/services", text: t("nav.services") }}
        title={data.name}
        state={<State state={data.state} reason={data.reason} />}
        sub={data.description}
        actions={<Actions service={data} />}
      />
      {data.reason && tone !== "good" && <div className={`reason ${tone}`} role="status">{localized(data.reason)}</div>}
      {!data.stopped && <Waiting service={data.name} />}
      <Facts
        items={[
          [t("services.modelVersion"), <Link key="m" to={`/models/${data.model_version.split(":")[0]}`}>{data.model_version}</Link>],
          [t("services.replicas"), t("services.replicasOf", { ready: data.replicas_ready, wanted: data.replicas_wanted })],
          [t("publish.mode"), t(`mode.${data.spec.mode ?? "balanced"}`)],
          [t("services.engine"), [data.engine, data.engine_version].filter(Boolean).join(" ") || "–"],
          [t("publish.pool"), data.spec.pool],
          [t("models.updated"), <Time key="u" at={data.updated_at} />],
        ]}
      />
      <ServiceTabs service={data} />
    </div>
  );
}

/** Why replicas have no place yet, node by node. */
function Waiting({ service }: { service: string }) {
  const { data } = useQuery(waitingQuery(service));
  return data && data.items.length > 0 ? <div style={{ marginBottom: 16 }}><WaitingList waiting={data.items} /></div> : null;
}

function Actions({ service }: { service: Service }) {
  const { t } = useTranslation();
  const may = useMay();
  return (
    <>
      {may("playground:use") && <Link to={`/playground?service=${service.name}&tab=${playgroundTab(service)}`}><Button icon={<CommentOutlined />} disabled={service.replicas_ready === 0 && service.state !== "sleeping"}>{t("services.try")}</Button></Link>}
      {may("service:write", service.project) && (
        <>
          <Link to={`/services/${service.name}/edit`}><Button icon={<EditOutlined />}>{t("services.change")}</Button></Link>
          <ServiceActions service={service} />
        </>
      )}
    </>
  );
}

function playgroundTab(service: Service): string {
  return service.type === "embedding" ? "embeddings" : service.type === "rerank" ? "rerank" : "chat";
}

function ServiceTabs({ service }: { service: Service }) {
  const { t } = useTranslation();
  const may = useMay();
  const [url, setUrl] = useUrlMany();
  const replicas = useQuery({ ...replicasQuery(service.name), refetchInterval: ["ready", "sleeping", "stopped"].includes(service.state) && !service.spec.autoscale ? false : 2000 });
  const tabs = [
    { key: "summary", label: t("services.summary"), children: <Summary service={service} replicas={replicas} onReplicas={() => setUrl({ tab: "replicas" })} /> },
    { key: "replicas", label: t("services.replicas"), children: <Replicas replicas={replicas} onLog={(id) => setUrl({ tab: "logs", replica: id })} /> },
    ...(may("log:read", service.project) ? [{ key: "logs", label: t("services.logs"), children: <Logs service={service.name} replicas={replicas.data?.items ?? []} /> }] : []),
    { key: "metrics", label: t("services.metrics"), children: <Metrics service={service.name} type={service.type} /> },
    { key: "revisions", label: t("services.revisions"), children: <Revisions service={service} /> },
    { key: "samples", label: t("services.samples"), children: <Samples service={service} /> },
    { key: "listener", label: t("listeners.tab"), children: <OwnListener model={service.name} /> },
    { key: "events", label: t("events.title"), children: <Events kind="service" name={service.name} /> },
    { key: "yaml", label: "YAML", children: <ServiceYaml service={service} /> },
  ];
  const tab = url.get("tab") ?? "summary";
  return <Tabs activeKey={tabs.some((item) => item.key === tab) ? tab : "summary"} onChange={(key) => setUrl({ tab: key === "summary" ? undefined : key, search: undefined, page: undefined, sort: undefined })} items={tabs} destroyOnHidden />;
}
