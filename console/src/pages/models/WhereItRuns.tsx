import { CloudServerOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { Button } from "antd";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import type { Service } from "../../api/schema";
import { DataTable } from "../../parts/DataTable";
import { State } from "../../parts/State";
import { servicesQuery } from "../../queries/services";
import { useMay } from "../../queries/session";

/** The services that serve a version of the model. */
export function WhereItRuns({ model }: { model: string }) {
  const { t } = useTranslation();
  const may = useMay();
  const services = useQuery({ ...servicesQuery(), enabled: may("service:read") });
  const mine = services.data?.items.filter((service) => service.model_version.split(":")[0] === model);
  return (
    <DataTable<Service>
      name="model-services"
      listing={{ ...services, data: mine && { items: mine, total: mine.length } }}
      rowKey={(service) => service.id}
      text={(service) => `${service.name} ${service.model_version} ${service.engine ?? ""} ${service.spec.pool}`}
      columns={[
        { key: "name", title: t("play.service"), sort: (service) => service.name, render: (_, service) => <Link className="name" to={`/services/${service.name}`}>{service.name}</Link> },
        { key: "state", title: t("lineage.state"), sort: (service) => service.state, render: (_, service) => <State state={service.state} reason={service.reason} /> },
        { key: "version", title: t("models.version"), sort: (service) => service.model_version, render: (_, service) => service.model_version.split(":")[1] },
        { key: "engine", title: t("lineage.engine"), render: (_, service) => [service.engine, service.engine_version].filter(Boolean).join(" ") || "–" },
        { key: "pool", title: t("lineage.pool"), render: (_, service) => service.spec.pool },
        { key: "replicas", title: t("lineage.replicas"), number: true, sort: (service) => service.replicas_ready, render: (_, service) => `${service.replicas_ready} / ${service.replicas_wanted}` },
      ]}
      empty={{ icon: <CloudServerOutlined />, title: t("lineage.unused"), text: t("lineage.unusedText"), action: may("service:write") && <Link to={`/services/new?model=${model}`}><Button type="primary">{t("services.publish")}</Button></Link> }}
    />
  );
}
