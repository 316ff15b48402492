import { useQuery, type UseQueryResult } from "@tanstack/react-query";
import { Button, Skeleton, Tag } from "antd";
import type { TFunction } from "i18next";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import type { Plan, Replica, Service, ServiceRevision, SliceSpec } from "../../api/schema";
import { localized } from "../../app/sentences";
import { Copy } from "../../parts/Code";
import { ProblemView } from "../../parts/Feedback";
import { formatBytes, formatContext, formatNumber } from "../../parts/format";
import { Panel } from "../../parts/Page";
import { Choices, MemoryParts } from "../../parts/PlanParts";
import { State } from "../../parts/State";
import { Time } from "../../parts/Time";
import { keysOfServiceQuery } from "../../queries/keys";
import { revisionsQuery } from "../../queries/services";
import { useMay } from "../../queries/session";
import { Scaling } from "./Scaling";

type Listing<T> = UseQueryResult<{ items: T[]; total: number }>;

interface Props {
  service: Service;
  replicas: Listing<Replica>;
  onReplicas: () => void;
}

/** Choices that the facts show as they are now. */
const FACTS = ["version", "pool", "mode", "replicas", "node"];

/** Everything about a service on one page: what runs, where, how large, why, and who may call it. */
export function Summary({ service, replicas, onReplicas }: Props) {
  const { t } = useTranslation();
  const may = useMay();
  const revisions = useQuery(revisionsQuery(service.name));
  const items = revisions.data?.items ?? [];
  const kept = items.find((item) => item.outcome !== "rolled_back");
  const runs = items.find((item) => item.generation === service.serving_generation) ?? kept;
  const plan = runs?.plan ?? undefined;
  return (
    <div className="grid2 summary">
      <div className="stack wide">
        <Panel title={t("services.facts")} flush><FactLines service={service} plan={plan} revisions={items} /></Panel>
        {service.spec.autoscale && <Scaling service={service} rule={service.spec.autoscale} />}
        <Panel title={t("services.where")} extra={<Button type="link" size="small" onClick={onReplicas}>{t("services.all")}</Button>} flush><Running replicas={replicas} /></Panel>
        {may("key:read") && <Panel title={t("services.keys")} flush><Keys service={service} /></Panel>}
      </div>
      <div className="stack wide">
        {revisions.error ? <ProblemView error={revisions.error} retry={() => void revisions.refetch()} /> : revisions.isPending ? <Skeleton active /> : plan ? (
          <>
            {/* What was free when it was planned says nothing of now. */}
            <Panel title={t("memory.need")}><MemoryParts plan={{ ...plan, fit: { ...plan.fit, available_bytes: null } }} /></Panel>
            <Panel title={t("services.chosen")}>
              {kept && runs && kept.generation > runs.generation && kept.outcome !== "ready" && <div className="reason busy">{t("services.chosenOlder", { serving: runs.generation, newest: kept.generation })}</div>}
              <Choices choices={plan.choices.filter((choice) => !FACTS.includes(choice.name))} />
            </Panel>
          </>
        ) : <Panel><span className="quiet">{t("services.noPlan")}</span></Panel>}
      </div>
    </div>
  );
}

function FactLines({ service, plan, revisions }: { service: Service; plan?: Plan; revisions: ServiceRevision[] }) {
  const { t } = useTranslation();
  const { spec } = service;
  const first = revisions.find((item) => item.generation === 1);
  const newest = revisions[0];
  const labels = Object.entries(spec.compute?.node_labels ?? {});
  const lines: [string, ReactNode][] = [
    [t("services.state"), <span key="s"><State state={service.state} />{service.reason && <div className="small quiet">{localized(service.reason)}</div>}</span>],
    [t("services.modelVersion"), <Link key="m" to={`/models/${service.model_version.split(":")[0]}`}>{service.model_version}</Link>],
    [t("publish.mode"), t(`mode.${spec.mode ?? "balanced"}`)],
    [t("publish.pool"), spec.pool],
    [t("keys.project"), service.project],
    [t("services.address"), service.address && <span key="a" className="row address"><span className="mono">{service.address}</span><Copy text={service.address} /></span>],
    [t("publish.visibility"), spec.visibility === "project" ? t("visibility.ofProject", { project: service.project }) : t("visibility.public")],
    [t("services.engine"), plan ? `${plan.engine} ${plan.engine_version} · ${plan.variant}` : [service.engine, service.engine_version].filter(Boolean).join(" ")],
    [t("services.compute"), plan && [acceleratorsOf(plan), `${formatNumber(plan.cpu_cores)} ${t("word.cores")}`, `${formatBytes(plan.memory_bytes)} RAM`].filter(Boolean).join(" · ")],
    [t("publish.serves"), plan && t("publish.servesText", { replicas: spec.replicas ?? 1, users: plan.users, tokens: formatContext(plan.context_length) })],
    [t("publish.priority"), <span key="p">{spec.priority ?? 0}{spec.preemptible && <> <Tag>{t("publish.preemptible")}</Tag></>}</span>],
    ...(spec.compute?.slice ? [[t("slice.part"), sliceText(spec.compute.slice, t)] as [string, ReactNode]] : []),
    ...(spec.compute?.vendor ? [[t("nodes.vendor"), spec.compute.vendor] as [string, ReactNode]] : []),
    ...(labels.length ? [[t("publish.nodeLabels"), labels.map(([key, value]) => <Tag key={key}>{key}={value}</Tag>)] as [string, ReactNode]] : []),
    ...(spec.compute?.tolerations?.length ? [[t("publish.tolerations"), spec.compute.tolerations.map((word) => <Tag key={word}>{word}</Tag>)] as [string, ReactNode]] : []),
    [t("publish.drain"), t("services.drainSeconds", { seconds: spec.drain_seconds ?? 60 })],
    [t("services.created"), <Change key="c" at={service.created_at} by={first?.created_by} />],
    [t("services.changed"), <Change key="u" at={newest?.created_at ?? service.updated_at} by={newest?.created_by} generation={newest?.generation} />],
  ];
  return (
    <dl className="lines">
      {lines.map(([label, value]) => (
        <div key={label}><dt>{label}</dt><dd className="num">{value || "–"}</dd></div>
      ))}
    </dl>
  );
}

/** What the slice was asked as, e.g. `30 % · 2 GiB · A cap`. */
function sliceText(slice: SliceSpec, t: TFunction): string {
  return [`${slice.compute_percent} %`, slice.memory_bytes && formatBytes(slice.memory_bytes), t(slice.policy === "weight" ? "slice.weight" : "slice.cap")].filter(Boolean).join(" · ");
}

/** Number and product, e.g. `2 x H100`; nothing on the CPU. */
function acceleratorsOf(plan: Plan): string | false {
  const value = plan.choices.find((choice) => choice.name === "accelerators")?.value;
  return typeof value === "string" && value !== "cpu" && value;
}

function Change({ at, by, generation }: { at: string; by?: string | null; generation?: number }) {
  const { t } = useTranslation();
  return (
    <span>
      <Time at={at} />
      <span className="quiet">{by && ` · ${t("services.by", { user: by })}`}{generation !== undefined && ` · ${t("services.byGeneration", { generation })}`}</span>
    </span>
  );
}

function Running({ replicas }: { replicas: Listing<Replica> }) {
  const { t } = useTranslation();
  if (replicas.error) return <ProblemView error={replicas.error} retry={() => void replicas.refetch()} />;
  if (replicas.isPending) return <div className="body"><Skeleton active title={false} paragraph={{ rows: 2 }} /></div>;
  const living = replicas.data.items.filter((replica) => !replica.ended_at);
  if (living.length === 0) return <div className="body quiet">{t("services.noReplicasText")}</div>;
  return (
    <dl className="lines">
      {living.map((replica) => (
        <div key={replica.id}>
          <dt><State state={replica.state} reason={replica.reason} /></dt>
          <dd>
            <div className="row wrap">
              {replica.allocation ? <Link to={`/platform/nodes/${replica.allocation.node_id}`}>{replica.node ?? replica.allocation.node_id}</Link> : localized(replica.reason) || "–"}
              {replica.allocation?.devices.map((device) => <Tag key={device.device_id}>{device.vendor} {device.index}{device.compute_percent < 100 ? ` · ${device.compute_percent} %` : ""}</Tag>)}
            </div>
            <div className="small quiet num">{replica.id} · {formatBytes(replica.memory_bytes)}</div>
          </dd>
        </div>
      ))}
    </dl>
  );
}

function Keys({ service }: { service: Service }) {
  const { t } = useTranslation();
  const { data, error, refetch } = useQuery(keysOfServiceQuery(service.name));
  if (error) return <ProblemView error={error} retry={() => void refetch()} />;
  if (!data) return <div className="body"><Skeleton active title={false} paragraph={{ rows: 2 }} /></div>;
  if (data.items.length === 0) return <div className="body quiet">{t("services.keysNone")}</div>;
  return (
    <dl className="lines">
      {data.items.map((key) => (
        <div key={key.id}>
          <dt><Link to={`/platform/keys?search=${encodeURIComponent(key.name)}`}>{key.name}</Link></dt>
          <dd><span className="mono">{key.prefix}</span> <span className="quiet">{key.project}{(key.models?.length ?? 0) > 1 && ` · ${t("services.keysMany", { count: key.models?.length })}`} · {t("keys.lastUsed")}: <Time at={key.last_used_at} /></span></dd>
        </div>
      ))}
    </dl>
  );
}
