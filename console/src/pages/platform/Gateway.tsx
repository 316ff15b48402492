import { useQuery } from "@tanstack/react-query";
import { Table } from "antd";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import type { GatewayStatus, Listener, Port } from "../../api/schema";
import { localized } from "../../app/sentences";
import { ProblemView } from "../../parts/Feedback";
import { ListenerState, listenerUrl } from "../../parts/ListenerState";
import { Head, Panel } from "../../parts/Page";
import { Time } from "../../parts/Time";
import { gatewaysQuery, listenersQuery, portsQuery } from "../../queries/listeners";

const PAGING = { pageSize: 50, hideOnSinglePage: true } as const;

/** The gateway's processes, the listeners of models, and who has which port. */
export function Gateway() {
  const { t } = useTranslation();
  const [gateways, listeners, ports] = [useQuery(gatewaysQuery), useQuery(listenersQuery), useQuery(portsQuery)];
  const broken = [gateways, listeners, ports].find((query) => query.error && !query.data);
  return (
    <div className="page">
      <Head title={t("nav.gateway")} sub={t("gateway.sub")} />
      {broken && <ProblemView error={broken.error} retry={() => void broken.refetch()} />}
      <div className="stack wide">
        <Panel title={t("gateway.processes")} extra={<span className="small quiet">{t("gateway.restartHint")}</span>} flush>
          <Table<GatewayStatus>
            size="small"
            rowKey="id"
            pagination={PAGING}
            loading={gateways.isPending}
            scroll={{ x: "max-content" }}
            dataSource={gateways.data?.items}
            locale={{ emptyText: <span className="quiet">{t("gateway.noProcess")}</span> }}
            columns={[
              { key: "slot", title: t("gateway.place"), render: (_, one) => <span className="num">{one.slot}</span> },
              { key: "pid", title: "PID", render: (_, one) => <span className="num">{one.pid ?? "–"}</span> },
              { key: "version", title: t("gateway.version"), render: (_, one) => one.version || "–" },
              { key: "state", title: t("services.state"), render: (_, one) => <Serving leaving={one.leaving ?? false} /> },
              { key: "inflight", title: t("gateway.inflight"), align: "right", render: (_, one) => <span className="num">{sum(one.inflight)}</span> },
              { key: "since", title: t("gateway.since"), render: (_, one) => (one.started_at ? <Time at={one.started_at} /> : "–") },
            ]}
          />
        </Panel>
        <Panel title={t("listeners.title")} flush>
          <Table<Listener>
            size="small"
            rowKey="model"
            pagination={PAGING}
            loading={listeners.isPending}
            scroll={{ x: "max-content" }}
            dataSource={listeners.data?.items}
            locale={{ emptyText: <span className="quiet">{t("listeners.noneText")}</span> }}
            columns={[
              { key: "model", title: t("listeners.model"), render: (_, one) => <Link className="strong" to={`/services/${one.model}?tab=listener`}>{one.model}</Link> },
              { key: "address", title: t("gateway.address"), render: (_, one) => <span className="mono">{listenerUrl(one)}</span> },
              { key: "state", title: t("services.state"), render: (_, one) => <ListenerState listener={one} /> },
              { key: "reason", title: "", render: (_, one) => <span className="small quiet">{localized(one.reason)}</span> },
            ]}
          />
        </Panel>
        <Panel title={t("gateway.ports")} flush>
          <Table<Port>
            size="small"
            rowKey={(port) => `${port.use} ${port.first} ${port.address}`}
            pagination={PAGING}
            loading={ports.isPending}
            scroll={{ x: "max-content" }}
            dataSource={ports.data?.items}
            columns={[
              { key: "port", title: t("gateway.port"), render: (_, port) => <span className="num">{port.first === port.last ? port.first : `${port.first}–${port.last}`}</span> },
              { key: "address", title: t("gateway.address"), render: (_, port) => <span className="mono">{port.address || "–"}</span> },
              { key: "use", title: t("gateway.use"), render: (_, port) => t(`gateway.uses.${port.use}`) },
              { key: "holder", title: t("gateway.holder"), render: (_, port) => port.holder || "–" },
            ]}
          />
        </Panel>
      </div>
    </div>
  );
}

function Serving({ leaving }: { leaving: boolean }) {
  const { t } = useTranslation();
  return (
    <span className={`pill ${leaving ? "busy" : "good"}`}>
      <i aria-hidden />
      {t(leaving ? "listeners.states.leaving" : "listeners.states.serving")}
    </span>
  );
}

function sum(inflight: Record<string, number> | undefined): number {
  return Object.values(inflight ?? {}).reduce((all, one) => all + one, 0);
}
